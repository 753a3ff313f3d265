"""The tables of `fedtune3d site approvals` and `fedtune3d site log`."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Column, Table
from rich.text import Text

from fedtune3d.federation.privacy.approval import Approval
from fedtune3d.federation.privacy.egress_log import EgressEntry


def approvals_table(approvals: Iterable[Approval]) -> Table:
    """One row per approved experiment, oldest first."""
    heads = ("Experiment", _whole("Hash"), _whole("Approved"), "Version", "People", _whole("Revoked"))
    table = Table(*heads, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for approval in approvals:
        people = str(len(approval.people.get("everyone", ())))
        row = (
            approval.name,
            approval.short,
            _time(approval.time),
            approval.version,
            people,
            _time(approval.revoked or ""),
        )
        table.add_row(*map(Text, row))
    return table


def log_table(entries: Sequence[EgressEntry]) -> Table:
    """One row per message, oldest first."""
    heads = (_whole("Time"), _whole("Approval"), "Message, and why it left", "What it reveals (about how many people)")
    table = Table(*heads, box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    for entry in entries:
        fields = [f"{field.words}: {field.reveals} ({field.people})" for field in entry.fields]
        reason = f"{entry.title}\n{entry.why}"
        shown = "\n".join(fields) or "nothing about people"
        table.add_row(*map(Text, (_time(entry.time), entry.experiment[:12], reason, shown)))
    return table


def _whole(head: str) -> Column:
    """A column that is never cut, however narrow the screen."""
    return Column(head, no_wrap=True)


def _time(text: str) -> str:
    return text.replace("T", "\n").replace(" ", "\n")
