"""An update that cannot be used is refused in one line that says why."""

from collections.abc import Callable

import pytest
import torch

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.scaffold import ControlVariateStep
from fedtune3d.aggregation.site_step import SiteStep
from fedtune3d.federation.messages import Answer
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import TrainAnswer
from fedtune3d.federation.update_checks import change_norm, out_of_line, reason_to_refuse
from fedtune3d.training.scores import Scores

REFERENCE: State = {"bias": torch.zeros(2), "batches": torch.tensor(7), "weight": torch.ones(2, 2)}


def reason(
    change: Callable[[State], object] = lambda state: None,
    max_norm: float = 10.0,
    step: SiteStep | None = None,
    **payload: object,
) -> str | None:
    """Why an update is refused whose state was changed in place."""
    state = {name: tensor.clone() for name, tensor in REFERENCE.items()}
    change(state)
    answer = TrainAnswer.model_validate({"examples": 4, "people": 4, "loss": 0.5} | payload)
    return reason_to_refuse(Answer("A", answer, {"state": state}), REFERENCE, step or SiteStep(), max_norm)


def test_a_sound_update_is_accepted() -> None:
    assert reason() is None


def test_the_norm_of_the_change_is_bounded() -> None:
    def far(state: State) -> None:
        state["bias"] += torch.tensor([3.0, 0.0])
        state["weight"][0] += torch.tensor([0.0, 4.0])
        state["batches"] += 100  # an integer counts nothing

    assert reason(far, max_norm=5.0) is None
    assert reason(far, max_norm=4.9) == "the norm of the change is 5, above the limit of 4.9"


def test_the_norm_by_hand() -> None:
    state = REFERENCE | {"bias": torch.tensor([3.0, 4.0])}
    assert change_norm(state, REFERENCE) == 5
    assert change_norm({"batches": torch.tensor(9)}, REFERENCE) == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda state: state.pop("bias"), "state: bias missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "state: extra not expected"),
        (lambda state: state.update(bias=torch.zeros(3)), "state: bias: expected shape (2,), got (3,)"),
        (lambda state: state.update(bias=torch.zeros(2).double()), "state: bias: expected torch.float32, got"),
        (lambda state: state["bias"].fill_(float("nan")), "state: bias: contains NaN or infinite values"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change: Callable[[State], object], why: str) -> None:
    refusal = reason(change)
    assert refusal is not None
    assert refusal.startswith(why)


def test_an_update_without_examples_is_refused() -> None:
    assert reason(examples=0) == "expected at least 1 training example, got 0"


def test_names_that_stay_at_the_site_must_not_come() -> None:
    step = SiteStep(keep_local=("bias",))
    assert reason(step=step) == "state: bias not expected"
    assert reason(lambda state: state.pop("bias"), step=step) is None


def test_an_answer_of_another_kind_or_without_a_state_is_refused() -> None:
    scores = Scores(auc=0.5, balanced_accuracy=0.5, loss=0.1, examples=4, why=None)
    refusal = reason_to_refuse(Answer("A", ScoreAnswer(received=scores)), REFERENCE, SiteStep(), 1.0)
    assert refusal == "expected TrainAnswer, got ScoreAnswer"
    without = Answer("A", TrainAnswer(examples=1, people=1, loss=0.1))
    assert reason_to_refuse(without, REFERENCE, SiteStep(), 1.0) == "the answer contains no state"


def test_every_part_is_bounded() -> None:
    state = {name: tensor.clone() for name, tensor in REFERENCE.items()}
    step = ControlVariateStep(control={"weight": torch.zeros(2, 2)})
    answer = TrainAnswer(examples=4, people=4, loss=0.5)
    for value, refused in ((3e38, "control_change: the norm is inf, above the limit of 10"), (1.0, None)):
        parts = {"state": state, "control_change": {"weight": torch.full((2, 2), value)}}
        assert reason_to_refuse(Answer("A", answer, parts), REFERENCE, step, 10.0) == refused


def test_a_change_out_of_line_with_the_others_is_refused_by_name() -> None:
    norms = {"A": 1.0, "B": 2.0, "C": 3.0, "D": 25.1}
    assert list(out_of_line(norms, max_ratio=10.0)) == ["D"]
    assert "10 times the round's median" in out_of_line(norms, max_ratio=10.0)["D"]
    assert out_of_line(norms | {"D": 25.0}, max_ratio=10.0) == {}
    assert out_of_line({"A": 1.0, "B": 2.0, "D": 1e9}, max_ratio=10.0) == {}  # three cannot say who is out of line
    assert out_of_line({"A": 0.0, "B": 0.0, "C": 0.0, "D": 1.0}, max_ratio=10.0) == {}
