import math

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.fed_adam import FedAdam


def _step(rule, state_of, make_update):
    state, memory = rule.start(state_of({"w": [0.0]}), RuleContext())
    return rule.aggregate(state, [make_update("A", {"w": [0.4]})], memory)


def test_first_step_of_the_paper(state_of, make_update):
    result = _step(FedAdam(rate=0.1, tau=0.01, bias_correction=False), state_of, make_update)
    # m = 0.1 · 0.4 = 0.04; v = 0.01 · 0.16 = 0.0016; step = 0.1 · 0.04 / (0.04 + 0.01)
    assert result.state["w"].item() == pytest.approx(0.08)


def test_first_step_with_the_bias_corrected(state_of, make_update):
    result = _step(FedAdam(rate=0.1, tau=0.01), state_of, make_update)
    rate = 0.1 * math.sqrt(1 - 0.99**2) / (1 - 0.9**2)
    assert result.round_signals == {"server_rate": pytest.approx(rate)}
    assert result.state["w"].item() == pytest.approx(rate * 0.8)


def test_buffers_are_averaged(state_of, make_update):
    initial = {"w": torch.zeros(1), "running_var": torch.ones(1)}
    rule = FedAdam()
    state, memory = rule.start(initial, RuleContext(parameters=("w",)))
    result = rule.aggregate(state, [make_update("A", {"w": [1.0], "running_var": [0.0]})], memory)
    assert result.state["running_var"].item() == 0.0
    assert set(result.memory.tensors) == {"first.w", "second.w"}


def test_a_step_that_half_precision_cannot_hold_is_refused(make_update):
    rule = FedAdam(rate=1e6)
    state, memory = rule.start({"w": torch.zeros(1, dtype=torch.float16)}, RuleContext())
    update = make_update("A", {"w": torch.ones(1, dtype=torch.float16)})
    with pytest.raises(InputError, match=r"next state has values out of range for torch\.float16; lower"):
        rule.aggregate(state, [update], memory)
