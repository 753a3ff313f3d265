"""Score a state on the validation set, to compare rounds."""

from typing import Annotated, ClassVar, Protocol

from pydantic import Field

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import CountedBy, Declaration, IfFew, Reveals
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.training.scores import Scores


class Score(Instruction):
    """Score the state in part ``"state"``."""

    kind: ClassVar[str] = "score"


OF_VALIDATION = CountedBy("validation_people", IfFew.HOLD_BACK)


class ScoreAnswer(Payload):
    """Scores of the received state on the validation set.

    Attributes:
        received: The scores; None if they are about too few people.
        validation_people: People in the validation set.
    """

    received: Annotated[
        Scores | None, Declaration(Reveals.STATISTIC, OF_VALIDATION, "validation scores of the received state")
    ] = None
    validation_people: Annotated[
        int, Field(ge=0), Declaration(Reveals.COUNT, OF_VALIDATION, "people in validation")
    ] = 0


class ScoresStates(Protocol):
    """Anything that has a validation set."""

    def score(self, task: Task) -> Answer:
        """Score a state."""
        ...


def score(site: ScoresStates, task: Task) -> Answer:
    """Score a state at the site."""
    return site.score(task)


KIND = TaskKind(Score, ScoreAnswer, score, contents="validation scores, number of people in validation")
