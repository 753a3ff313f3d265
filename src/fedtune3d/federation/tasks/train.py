"""Train for one round and send the update."""

from typing import Annotated, ClassVar, Protocol

from pydantic import Field, JsonValue

from fedtune3d.aggregation.registry import step_type_of
from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import EVERY_PART, NOTHING, CountedBy, Declaration, Reveals
from fedtune3d.federation.privacy.differential_privacy.spending import Spent
from fedtune3d.federation.privacy.secure_aggregation.messages import SignedKeys
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.federation.tasks.score import OF_VALIDATION
from fedtune3d.training.scores import Scores

OF_TRAINING = CountedBy("people")
RECEIVED = Declaration(Reveals.STATISTIC, OF_VALIDATION, "validation scores of the received state")
SENT = Declaration(Reveals.STATISTIC, OF_VALIDATION, "validation scores of the sent state")
FOR_THE_RULE = Declaration(Reveals.STATISTIC, OF_VALIDATION, "validation scores for the aggregation rule")
Examples = Annotated[int, Field(ge=0)]
Loss = Annotated[float, Field(ge=0)]


class Train(Instruction):
    """Train for one round from the state in part ``"state"``.

    Attributes:
        rule: Name of the aggregation rule, from which the site looks up the class of the step.
        step: The step's fields as JSON values; its tensors are parts of the task (`aggregation.site_step`).
        attempt: Number of the attempt at a secure sum, from 1: the site keeps its update and answers with keys. None to
            send the update as it is.
    """

    kind: ClassVar[str] = "train"
    rule: str
    step: dict[str, JsonValue]
    attempt: Annotated[int, Field(ge=1)] | None = None

    @property
    def purpose(self) -> str:
        """The rule, as each has a step of its own."""
        return self.rule


class TrainAnswer(Payload):
    """An update's counts and scores; the trained state is in part ``"state"``.

    Attributes:
        examples: Training scans, by which rules weigh updates; None if the site withholds the number.
        people: People behind the training scans.
        loss: Mean cross-entropy over the last local epoch; None under differential privacy.
        received: Scores of the received state on the validation set.
        sent: Scores of the sent state on the validation set.
        scores: Validation scores for the rule, by name, including those of its step (`SiteStep.own_scores`).
        scalars: Other numbers that the rule's step computes at the site (`SiteStep.own_scalars`).
        validation_people: People in the validation set.
        received_training_loss: Mean cross-entropy of the received state over the training scans, if the rule needs it.
        spent: What the experiment has cost each person in training so far, under differential privacy.
        keys: The site's keys for the secure sum; None where the update is sent as it is.
        seconds: Wall time of the task.
        peak_memory_bytes: Peak memory of the task: of the GPU, or on a CPU of the host above what the process held
            before its model, or an earlier task's if that was higher (`PeakMemory`).
    """

    examples: Annotated[Examples | None, Declaration(Reveals.COUNT, OF_TRAINING, "training scans")] = None
    people: Annotated[int, Field(ge=0), Declaration(Reveals.COUNT, OF_TRAINING, "people in training")] = 0
    loss: Annotated[float | None, Declaration(Reveals.STATISTIC, OF_TRAINING, "training loss")] = None
    received: Annotated[Scores | None, RECEIVED] = None
    sent: Annotated[Scores | None, SENT] = None
    scores: Annotated[dict[str, SiteScore], FOR_THE_RULE] = Field(default_factory=dict)
    scalars: Annotated[
        dict[str, float], Declaration(Reveals.STATISTIC, OF_TRAINING, "other numbers for the aggregation rule")
    ] = Field(default_factory=dict)
    validation_people: Annotated[
        int, Field(ge=0), Declaration(Reveals.COUNT, OF_VALIDATION, "people in validation")
    ] = 0
    received_training_loss: Annotated[
        Loss | None, Declaration(Reveals.STATISTIC, OF_TRAINING, "training loss of the received state")
    ] = None
    spent: Annotated[
        Spent | None, Declaration(Reveals.COUNT, OF_TRAINING, "noise, sampling and epsilon spent so far")
    ] = None
    keys: Annotated[SignedKeys | None, NOTHING] = None
    seconds: Annotated[float, Field(ge=0), NOTHING] = 0.0
    peak_memory_bytes: Annotated[int, Field(ge=0), NOTHING] = 0


class Trains(Protocol):
    """Anything that trains locally."""

    def train(self, task: Task) -> Answer:
        """Train for one round."""
        ...


def train(site: Trains, task: Task) -> Answer:
    """Train for one round at the site."""
    return site.train(task)


def require_declared_scores(task: Task, answer: Answer) -> None:
    """Raise `TypeError` if an update contains a score or other number that the task's rule does not declare."""
    rule, payload = task.expect(Train).rule, answer.expect(TrainAnswer)
    step_type = step_type_of(rule)
    if unknown := sorted(payload.scores.keys() - step_type.score_names()):
        raise TypeError(f"train: rule {rule} declares no score {', '.join(unknown)} (SiteStep.own_scores)")
    if unknown := sorted(payload.scalars.keys() - set(step_type.own_scalars)):
        raise TypeError(f"train: rule {rule} declares no number {', '.join(unknown)} (SiteStep.own_scalars)")


KIND = TaskKind(
    Train,
    TrainAnswer,
    train,
    {EVERY_PART: Declaration(Reveals.TENSOR, OF_TRAINING, "the trained weights")},
    contents="number of people and scans in training, training loss, validation scores",
    require_declared=require_declared_scores,
)
