"""The tables that a site's people read."""

import io

from rich.console import Console

from fedtune3d.cli.site_tables import approvals_table, log_table
from fedtune3d.federation.privacy.approval import Approval
from fedtune3d.federation.privacy.egress_log import EgressEntry, SentField


def printed(table: object) -> str:
    console = Console(width=160, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_an_approval_is_a_row() -> None:
    approval = Approval(
        "0a1b2c" * 8, "memory [red]clinics", "2025-01-01", "0.2.0", {"everyone": ("p", "q")}, "2025-02-02"
    )
    text = printed(approvals_table([approval]))
    for part in ("memory [red]clinics", "0a1b2c0a1b2c", "2025-01-01", "0.2.0", " 2 ", "2025-02-02"):
        assert part in text


def test_a_message_is_a_row_with_its_fields() -> None:
    fields = (
        SentField("validation_people", "a count", "31"),
        SentField("tensors state", "a tensor of an update", "31", "the trained weights"),
    )
    sent = EgressEntry("2025-01-01", "0a1b2c" * 8, "train", round=3, reason="train fedavg: 3 of 40", fields=fields)
    refused = EgressEntry("2025-01-02", "0a1b2c" * 8, "fault", fault="refused: policy.hours")
    text = printed(log_table([sent, refused]))
    for part in (
        "train fedavg, round 3",
        "task 3 of 40 approved",
        "validation people: a count (31)",
        "the trained weights: a tensor of an update (31)",
        "policy.hours",
    ):
        assert part in text
