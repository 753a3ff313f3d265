"""The contract suite of rules finds what breaks the contract."""

import dataclasses

import pytest

from fedtune3d.aggregation.fed_avg import FedAvg
from fedtune3d.testing import check_rule


@dataclasses.dataclass(frozen=True)
class InArrivalOrder(FedAvg):
    """A rule that breaks the contract: its result leans on the first update to arrive."""

    def aggregate(self, state, updates, memory):
        result = super().aggregate(state, updates, memory)
        result.state["head.weight"].add_(updates[0].load("state")["head.weight"])
        return result


@dataclasses.dataclass(frozen=True)
class InPlace(FedAvg):
    """A rule that breaks the contract: it writes into the state that it was given."""

    def aggregate(self, state, updates, memory):
        result = super().aggregate(state, updates, memory)
        state["head.weight"].copy_(result.state["head.weight"])
        return result


@pytest.mark.parametrize("broken", [InArrivalOrder(), InPlace()])
def test_the_suite_finds_a_rule_that_breaks_it(broken):
    with pytest.raises(AssertionError):
        check_rule(broken)
