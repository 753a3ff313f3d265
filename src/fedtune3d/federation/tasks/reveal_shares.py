"""Secure aggregation, last step: give up the shares that unmask the sum over the survivors."""

from typing import Annotated, ClassVar

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import NOTHING
from fedtune3d.federation.privacy.secure_aggregation.messages import Revealed, Signature
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.federation.tasks.share_secrets import AttemptNumber, Masks


class RevealShares(Instruction):
    """Give up shares.

    Attributes:
        attempt: The number of the attempt.
        signatures: Site → its signature of the list of survivors.
    """

    kind: ClassVar[str] = "reveal_shares"
    attempt: AttemptNumber
    signatures: dict[str, Signature]


class RevealedShares(Payload):
    """Random numbers; those of all sites together unmask the sum, and nothing else."""

    revealed: Annotated[Revealed, NOTHING]


def reveal_shares(site: Masks, task: Task) -> Answer:
    """Give up the shares for the list that the site has confirmed."""
    instruction = task.expect(RevealShares)
    revealed = site.masked.reveal(task.round, instruction.attempt, instruction.signatures)
    return Answer(site.masked.name, RevealedShares(revealed=revealed))


KIND = TaskKind(RevealShares, RevealedShares, reveal_shares, contents="")
