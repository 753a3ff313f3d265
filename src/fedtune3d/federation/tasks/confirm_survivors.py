"""Secure aggregation, fourth step: sign the one list of sites whose updates are in the sum."""

from typing import Annotated, ClassVar

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import NOTHING
from fedtune3d.federation.privacy.secure_aggregation.messages import Signature
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.federation.tasks.share_secrets import AttemptNumber, Masks


class ConfirmSurvivors(Instruction):
    """Confirm a list of survivors.

    Attributes:
        attempt: The number of the attempt.
        survivors: The sites whose masked updates came in time, sorted.
    """

    kind: ClassVar[str] = "confirm_survivors"
    attempt: AttemptNumber
    survivors: tuple[str, ...]


class Confirmation(Payload):
    """The site's signature of the list."""

    signature: Annotated[Signature, NOTHING]


def confirm_survivors(site: Masks, task: Task) -> Answer:
    """Sign the list."""
    instruction = task.expect(ConfirmSurvivors)
    signature = site.masked.confirm(task.round, instruction.attempt, instruction.survivors)
    return Answer(site.masked.name, Confirmation(signature=signature))


KIND = TaskKind(ConfirmSurvivors, Confirmation, confirm_survivors, contents="")
