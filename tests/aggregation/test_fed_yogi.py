import pytest

from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.fed_yogi import FedYogi


def test_second_moment_falls_by_what_the_change_is_and_not_by_a_share_of_itself(state_of, make_update):
    rule = FedYogi(rate=0.1, beta_1=0.0, beta_2=0.75, tau=0.1)
    state, memory = rule.start(state_of({"w": [0.0]}), RuleContext())
    first = rule.aggregate(state, [make_update("A", {"w": [2.0]})], memory)
    # v = 0 + 0.25 · 4 = 1; step = 0.1 · 2 / (1 + 0.1)
    assert first.memory.tensors["second.w"].item() == pytest.approx(1.0)
    assert first.state["w"].item() == pytest.approx(0.2 / 1.1)
    near = first.state["w"].item() + 0.4
    second = rule.aggregate(first.state, [make_update("A", {"w": [near]})], first.memory)
    assert second.memory.tensors["second.w"].item() == pytest.approx(1 - 0.25 * 0.16, abs=1e-6)
