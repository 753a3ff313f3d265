"""Score a state on the validation set, so that rounds can be compared."""

from typing import Annotated, ClassVar, Protocol

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import CountedBy, Declaration, Reveals
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.training.scores import Scores


class Score(Instruction):
    """Score the state that comes as part ``"state"``."""

    kind: ClassVar[str] = "score"


class ScoreAnswer(Payload):
    """Scores of the received state on the validation set."""

    received: Annotated[Scores, Declaration(Reveals.STATISTIC, CountedBy("received"))]


class ScoresStates(Protocol):
    """Anything that has a validation set."""

    def score(self, task: Task) -> Answer:
        """Score a state."""
        ...


def score(site: ScoresStates, task: Task) -> Answer:
    """Score a state at the site."""
    return site.score(task)


KIND = TaskKind(Score, ScoreAnswer, score)
