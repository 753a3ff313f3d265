"""Secure aggregation, second step: share the secrets behind the masks among the sites of the attempt."""

from typing import Annotated, ClassVar, Protocol

from pydantic import Field

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import NOTHING
from fedtune3d.federation.privacy.secure_aggregation.messages import Dealing, SignedKeys
from fedtune3d.federation.site.masked_updates import MaskedUpdates
from fedtune3d.federation.tasks.kind import TaskKind

AttemptNumber = Annotated[int, Field(ge=1)]


class ShareSecrets(Instruction):
    """Share the secrets of an attempt.

    Attributes:
        attempt: The number of the attempt.
        roster: Site → the keys that it offered, of all sites of the attempt.
    """

    kind: ClassVar[str] = "share_secrets"
    attempt: AttemptNumber
    roster: dict[str, SignedKeys]


class SharedSecrets(Payload):
    """Shares, each encrypted for one site, and commitments to them; random numbers all."""

    dealing: Annotated[Dealing, NOTHING]


class Masks(Protocol):
    """Anything whose updates can be added up without being seen."""

    @property
    def masked(self) -> MaskedUpdates:
        """Masked updates that the site keeps on disk until their sum is made."""
        ...


def share_secrets(site: Masks, task: Task) -> Answer:
    """Share the secrets of the site."""
    instruction = task.expect(ShareSecrets)
    dealing = site.masked.deal(task.round, instruction.attempt, instruction.roster)
    return Answer(site.masked.name, SharedSecrets(dealing=dealing))


KIND = TaskKind(ShareSecrets, SharedSecrets, share_secrets, contents="")
