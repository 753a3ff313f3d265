import pytest

from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.krum import Krum, krum_scores

VALUES = {"A": 0.0, "B": 1.0, "C": 2.5, "D": 100.0, "E": 3.0}


def _updates(make_update):
    return [make_update(site, {"w": [value]}) for site, value in VALUES.items()]


def test_scores_by_hand(state_of):
    states = [state_of({"w": [value]}) for value in VALUES.values()]
    # Two nearest of each: A: 1 + 6.25; B: 1 + 2.25; C: 2.25 + 0.25; D: 97² + 97.5²; E: 0.25 + 4
    assert krum_scores(states, malicious=1) == [7.25, 3.25, 2.5, 97**2 + 97.5**2, 4.25]


def test_krum_takes_one(state_of, make_update):
    result = Krum(malicious=1).aggregate(state_of({"w": [0.0]}), _updates(make_update), Memory())
    assert result.state["w"].tolist() == [2.5]
    assert result.weights == {"A": 0, "B": 0, "C": 1, "D": 0, "E": 0}
    assert result.signals["A"] == {"krum_score": 7.25}
    assert result.round_signals == {"guarantee": 1.0}


def test_multi_krum_averages_the_best(state_of, make_update):
    result = Krum(malicious=1, keep=3).aggregate(state_of({"w": [0.0]}), _updates(make_update), Memory())
    assert result.state["w"].item() == pytest.approx((1 + 2.5 + 3) / 3)
    assert result.weights == {
        "A": 0,
        "B": pytest.approx(1 / 3),
        "C": pytest.approx(1 / 3),
        "D": 0,
        "E": pytest.approx(1 / 3),
    }


def test_two_sites_tie_and_the_earlier_name_wins_without_guarantee(state_of, make_update):
    updates = [make_update("B", {"w": [2.0]}), make_update("A", {"w": [1.0]})]
    result = Krum(malicious=1).aggregate(state_of({"w": [0.0]}), updates, Memory())
    assert result.state["w"].tolist() == [1.0]
    assert result.round_signals == {"guarantee": 0.0}
