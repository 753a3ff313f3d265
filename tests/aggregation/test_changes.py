"""What changes in a round, over the names that train by gradient."""

import torch

from fedtune3d.aggregation.changes import PARAMETERS, change, moved, parameters_at_start, parameters_of
from fedtune3d.aggregation.contract import Memory, RuleContext

STATE = {
    "running_mean": torch.tensor([1.0, 1.0]),
    "batches": torch.tensor(3),
    "weight": torch.tensor([1.0, -2.0], dtype=torch.float32),
}


def test_the_names_that_train_are_those_of_the_context_in_the_state() -> None:
    context = RuleContext(parameters=("weight", "elsewhere"))
    assert parameters_at_start(STATE, context) == ["weight"]
    assert parameters_at_start(STATE, RuleContext()) == ["running_mean", "weight"]


def test_the_names_are_remembered() -> None:
    assert parameters_of(STATE, Memory({PARAMETERS: ["weight"]})) == ["weight"]
    assert parameters_of(STATE, Memory()) == ["running_mean", "weight"]


def test_a_change_by_hand_in_float64() -> None:
    after = {name: tensor + 1 for name, tensor in STATE.items()} | {"weight": torch.tensor([1.5, -2.0])}
    changed = change(STATE, after, ["weight"])
    assert changed.keys() == {"weight"}
    assert changed["weight"].dtype == torch.float64
    assert changed["weight"].tolist() == [0.5, 0.0]


def test_names_without_a_step_take_the_mean() -> None:
    means = {"running_mean": torch.tensor([2.0, 4.0]), "batches": torch.tensor(3.6), "weight": torch.zeros(2)}
    means = {name: mean.double() for name, mean in means.items()}
    result = moved(STATE, means, {"weight": torch.tensor([0.25, 1.0], dtype=torch.float64)})
    assert result["weight"].tolist() == [1.25, -1.0]
    assert result["running_mean"].tolist() == [2, 4]
    assert result["batches"].item() == 4
    assert {name: tensor.dtype for name, tensor in result.items()} == {
        name: tensor.dtype for name, tensor in STATE.items()
    }
