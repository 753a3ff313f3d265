"""Secure aggregation, third step: send the update of the round under masks."""

from typing import Annotated, ClassVar

from pydantic import Field

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import CountedBy, Declaration, Reveals
from fedtune3d.federation.privacy.secure_aggregation.messages import Hex, Plan
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.federation.tasks.share_secrets import AttemptNumber, Masks

MASKED, WORDS = "masked", "words"
OF_TRAINING = CountedBy("people")


class MaskUpdate(Instruction):
    """Mask the update that the site has kept.

    Attributes:
        attempt: The number of the attempt.
        plan: What is added up; the same for all sites.
        sealed: Dealer → this site's shares of its secrets.
    """

    kind: ClassVar[str] = "mask_update"
    attempt: AttemptNumber
    plan: Plan
    sealed: dict[str, Hex]


class MaskedUpdate(Payload):
    """The people behind the update; part `MASKED` holds its words, (n,) int64, as `WORDS`."""

    people: Annotated[int, Field(ge=0), Declaration(Reveals.COUNT, OF_TRAINING, "people in training")] = 0


def mask_update(site: Masks, task: Task) -> Answer:
    """Send the update of the site under masks."""
    instruction = task.expect(MaskUpdate)
    people, words = site.masked.mask(task.round, instruction.attempt, instruction.plan, instruction.sealed)
    return Answer(site.masked.name, MaskedUpdate(people=people), {MASKED: {WORDS: words}})


KIND = TaskKind(
    MaskUpdate,
    MaskedUpdate,
    mask_update,
    {MASKED: Declaration(Reveals.MASKED, OF_TRAINING, "the masked update")},
    max_tensor_bytes=4 << 30,  # 500 million words, as much as the server's door lets in
    contents="number of people in training",
)
