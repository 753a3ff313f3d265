"""The tables of `fedtune3d site approvals` and `fedtune3d site log`."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from fedtune3d.federation.privacy.approval import Approval
from fedtune3d.federation.privacy.egress_log import EgressEntry


def approvals_table(approvals: Iterable[Approval]) -> Table:
    """One row per approved experiment, oldest first."""
    table = Table("experiment", "hash", "approved", "version", "people", "revoked")
    for approval in approvals:
        people = str(len(approval.people.get("everyone", ())))
        row = (approval.name, approval.short, approval.time, approval.version, people, approval.revoked or "")
        table.add_row(*map(Text, row))
    return table


def log_table(entries: Sequence[EgressEntry]) -> Table:
    """One row per message, oldest first."""
    table = Table("time", "approval", "kind", "why it left", "what it reveals", "people")
    for entry in entries:
        kind = f"{entry.kind}, round {entry.round}" if entry.round else entry.kind
        names = "\n".join(f"{field.name}: {field.reveals}" for field in entry.fields)
        people = "\n".join(field.people for field in entry.fields)
        reason = entry.fault or entry.reason
        table.add_row(*map(Text, (entry.time, entry.experiment[:12], kind, reason, names, people)))
    return table
