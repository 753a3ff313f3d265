import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.fed_bn import FedBN


def test_normalisation_stays_at_the_sites(state_of, make_update):
    rule = FedBN()
    state, memory = rule.start(
        state_of({"w": [0.0], "norm.weight": [1.0]}), RuleContext(normalisation=("norm.weight",))
    )
    assert rule.site_step(memory, "A").keep_local == ("norm.weight",)
    updates = [make_update("A", {"w": [2.0]}, examples=1), make_update("B", {"w": [6.0]}, examples=3)]
    result = rule.aggregate(state, updates, memory)
    assert result.state["w"].tolist() == [5.0]
    assert result.state["norm.weight"].tolist() == [1.0]


def test_an_update_that_brings_them_along_is_refused(state_of, make_update):
    rule = FedBN()
    state, memory = rule.start(
        state_of({"w": [0.0], "norm.weight": [1.0]}), RuleContext(normalisation=("norm.weight",))
    )
    with pytest.raises(ValueError, match=r"site A: norm\.weight not expected"):
        rule.aggregate(state, [make_update("A", {"w": [2.0], "norm.weight": [2.0]})], memory)


def test_refused_where_nothing_trained_is_a_normalisation_layer(state_of):
    with pytest.raises(InputError, match="rule fedbn: expected normalisation layers in the trained part, got none"):
        FedBN().start(state_of({"w": [0.0]}), RuleContext(normalisation=("encoder.norm.weight",)))
