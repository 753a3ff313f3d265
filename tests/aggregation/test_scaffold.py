import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.scaffold import (
    CONTROL,
    CONTROL_CHANGE,
    SCAFFOLD,
    ControlVariateStep,
    control_change,
    gradient_offset,
)
from fedtune3d.aggregation.site_step import STATE

CONTEXT = RuleContext(sites=("A", "B", "C", "D"), parameters=("w",), optimizer="sgd")


def test_states_count_over_the_round_and_controls_over_all_sites(state_of, make_update):
    rule = SCAFFOLD(rate=0.5)
    state, memory = rule.start(state_of({"w": [1.0], "mean": [0.0]}), CONTEXT)
    updates = [
        make_update("A", {"w": [3.0], "mean": [1.0]}, examples=9, control_change={"w": [4.0]}),
        make_update("B", {"w": [7.0], "mean": [2.0]}, examples=1, control_change={"w": [-2.0]}),
    ]
    result = rule.aggregate(state, updates, memory)
    assert result.state["w"].tolist() == [3.0]  # 1 + 0.5 · (5 − 1)
    assert result.state["mean"].tolist() == [1.5]
    assert result.memory.tensors["w"].tolist() == [0.5]  # (4 − 2) / 4
    assert result.weights == {"A": 0.5, "B": 0.5}
    step = rule.site_step(result.memory, "C")
    assert isinstance(step, ControlVariateStep)
    assert step.control["w"].tolist() == [0.5]
    change = {"w": torch.tensor([0.25])}
    remembered = step.to_remember(state_of({"w": [1.0]}), {CONTROL_CHANGE: change}, {})
    assert remembered[CONTROL] == change
    assert step.to_remember({}, {CONTROL_CHANGE: change}, remembered)[CONTROL]["w"].tolist() == [0.5]


def test_drift_vanishes_on_two_quadratics():
    """Sites of losses (w − 1)² and 10 (w + 1)²: FedAvg's many local steps miss the optimum −9/11, SCAFFOLD's do not."""
    from fedtune3d.aggregation.contract import Update

    curvature, centre, rate, steps = {"A": 2.0, "B": 20.0}, {"A": 1.0, "B": -1.0}, 0.02, 10
    rule, own = SCAFFOLD(), {site: torch.zeros(1) for site in "AB"}
    state, memory = rule.start({"w": torch.zeros(1)}, RuleContext(sites=("A", "B"), optimizer="sgd"))
    for _ in range(200):
        updates = []
        for site in "AB":
            control, w = rule.site_step(memory, site).control["w"], state["w"].clone()
            for _ in range(steps):
                w -= rate * (curvature[site] * (w - centre[site]) + control - own[site])
            change = -control + (state["w"] - w) / (steps * rate)
            own[site] = own[site] + change
            parts = {STATE: {"w": w}, CONTROL_CHANGE: {"w": change}}
            updates.append(Update(site, 1, lambda part, parts=parts: parts[part]))
        result = rule.aggregate(state, updates, memory)
        state, memory = result.state, result.memory
    assert state["w"].item() == pytest.approx(-9 / 11, abs=1e-4)


@pytest.mark.parametrize(("optimizer", "constant"), [("adamw", True), ("sgd", False)])
def test_refuses_what_its_control_variates_do_not_hold_for(optimizer, constant):
    context = RuleContext(sites=("A",), optimizer=optimizer, rate_constant=constant)
    with pytest.raises(InputError, match="rule scaffold: expected optimizer sgd with a learning rate constant"):
        SCAFFOLD().start({"w": torch.zeros(1)}, context)


def test_refuses_a_control_of_another_shape_by_name(state_of, make_update):
    rule = SCAFFOLD()
    state, memory = rule.start(state_of({"w": [1.0]}), CONTEXT)
    update = make_update("A", {"w": [3.0]}, control_change={"w": [4.0, 5.0]})
    with pytest.raises(ValueError, match="site A: control_change: w: expected shape"):
        rule.aggregate(state, [update], memory)


def test_offset_is_the_difference_of_the_controls_and_a_new_site_has_zero() -> None:
    server = {"w": torch.tensor([1.0, 2.0]), "frozen": torch.tensor([9.0])}
    assert gradient_offset(server, {"w": torch.tensor([0.5, 3.0])}, ["w"])["w"].tolist() == [0.5, -1.0]
    assert gradient_offset(server, None, ["w"])["w"].tolist() == [1.0, 2.0]


def test_change_of_the_control_is_option_two_with_each_names_own_rate() -> None:
    server = {"a": torch.tensor([1.0]), "b": torch.tensor([0.0])}
    received = {"a": torch.tensor([3.0]), "b": torch.tensor([3.0])}
    sent = {"a": torch.tensor([1.0]), "b": torch.tensor([1.0])}
    change = control_change(server, received, sent, steps=4, rates={"a": 0.5, "b": 0.25})
    assert change == {"a": torch.tensor([0.0]), "b": torch.tensor([2.0])}
