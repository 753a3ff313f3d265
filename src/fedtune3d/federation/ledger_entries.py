"""A site's entry in the ledger, as far as it follows from its reply."""

from dataclasses import replace

from fedtune3d.federation.ledger import SiteEntry
from fedtune3d.federation.messages import Answer, Fault, Task, parts_bytes
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import TrainAnswer


def entry_of(reply: Answer | Fault, task: Task) -> SiteEntry:
    """Create a site's ledger entry, before its update is checked and weighted."""
    if isinstance(reply, Fault):
        return SiteEntry(bytes_down=parts_bytes(task.parts), fault=reply.reason)
    entry = SiteEntry(bytes_down=parts_bytes(task.parts), bytes_up=parts_bytes(reply.parts))
    payload = reply.payload
    if isinstance(payload, ScoreAnswer):
        return replace(entry, received=payload.received)
    if isinstance(payload, TrainAnswer):
        return replace(
            entry,
            examples=payload.examples,
            loss=payload.loss,
            received=payload.received,
            sent=payload.sent,
            seconds=payload.seconds,
            peak_memory_bytes=payload.peak_memory_bytes,
            spent=payload.spent,
        )
    return entry
