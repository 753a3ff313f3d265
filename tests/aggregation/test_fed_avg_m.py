import pytest
import torch

from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.fed_avg_m import FedAvgM


def test_momentum_carries_over(state_of, make_update):
    rule = FedAvgM(rate=0.5, momentum=0.5)
    state, memory = rule.start(state_of({"w": [0.0]}), RuleContext())
    first = rule.aggregate(state, [make_update("A", {"w": [2.0]})], memory)
    assert first.state["w"].tolist() == [1.0]  # v = 2, w = 0 + 0.5 · 2
    second = rule.aggregate(first.state, [make_update("A", {"w": [1.0]})], first.memory)
    assert second.state["w"].tolist() == [1.5]  # v = 0.5 · 2 + 0, w = 1 + 0.5 · 1


def test_buffers_are_averaged_without_momentum(state_of, make_update):
    rule = FedAvgM()
    initial = {"w": torch.zeros(1), "running_var": torch.ones(1), "batches": torch.tensor(0)}
    state, memory = rule.start(initial, RuleContext(parameters=("w",)))
    for variance in (3.0, 0.1):
        own = {"w": [1.0], "running_var": [variance], "batches": torch.tensor(7)}
        result = rule.aggregate(state, [make_update("A", own)], memory)
        state, memory = result.state, result.memory
    assert state["running_var"].item() == pytest.approx(0.1)
    assert state["batches"].item() == 7
    assert set(memory.tensors) == {"w"}
