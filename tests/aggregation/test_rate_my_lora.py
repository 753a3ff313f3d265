import math

import pytest

from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.rate_my_lora import MIN_RATING, RateMyLoRA
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE, ScoreKind, SiteScore


def _scores(sent: float, received: float = 0.5, kind: ScoreKind = "auc") -> dict[str, SiteScore]:
    return {SENT_SCORE: SiteScore(sent, kind, 10), RECEIVED_SCORE: SiteScore(received, kind, 10)}


def _rounds(rule, state_of, make_update, rounds):
    """The aggregates of rounds, each a mapping from site to scores; site A sends 1 and has 10 examples, B 2 and 30."""
    state, memory, results = state_of({"w": [0.0]}), Memory(), []
    for scores in rounds:
        updates = [
            make_update(site, {"w": [{"A": 1.0, "B": 2.0}[site]]}, {"A": 10, "B": 30}[site], own)
            for site, own in scores.items()
        ]
        result = rule.aggregate(state, updates, memory)
        memory = result.memory
        results.append(result)
    return results


def _ratings(result):
    return {site: signals["rating"] for site, signals in result.signals.items()}


def test_drop_compares_with_the_best_round_before(state_of, make_update):
    rounds = [{"A": _scores(s), "B": _scores(0.6)} for s in (0.80, 0.78, 0.79, 0.90)]
    first, second, third, fourth = _rounds(RateMyLoRA(temperature=0.02), state_of, make_update, rounds)
    assert first.weights == pytest.approx({"A": 0.25, "B": 0.75})
    assert _ratings(second) == pytest.approx({"A": math.exp(-1), "B": 1.0})
    assert second.weights == pytest.approx({"A": math.exp(-1) / (math.exp(-1) + 3), "B": 3 / (math.exp(-1) + 3)})
    assert second.state["w"].item() == pytest.approx((math.exp(-1) + 6) / (math.exp(-1) + 3))
    assert _ratings(third)["A"] == pytest.approx(math.exp(-0.5))
    assert _ratings(fourth)["A"] == 1.0
    assert fourth.signals["A"] == {"rating": 1.0, "score": 0.9, "score_by_loss": 0.0, "best_before": 0.8, "last": 0.79}


def test_the_printed_form_shortens_the_step(state_of, make_update):
    rounds = [{"A": _scores(s), "B": _scores(0.6)} for s in (0.80, 0.78)]
    result = _rounds(RateMyLoRA(temperature=0.02, renormalise=False), state_of, make_update, rounds)[1]
    assert result.state["w"].item() == pytest.approx((10 * math.exp(-1) + 60) / 40)
    assert result.round_signals["step"] == pytest.approx((math.exp(-1) + 3) / 4)
    assert math.fsum(result.weights.values()) == pytest.approx(1.0)


def test_ratio_compares_the_global_state_with_the_site_s_last(state_of, make_update):
    rounds = [{"A": _scores(0.8), "B": _scores(0.5)}, {"A": _scores(0.9, received=0.6), "B": _scores(0.5, 0.7)}]
    first, second = _rounds(RateMyLoRA(rating="ratio"), state_of, make_update, rounds)
    assert _ratings(first) == {"A": 1.0, "B": 1.0}
    assert _ratings(second) == pytest.approx({"A": 0.75, "B": 1.0})


def test_softmax_of_the_change(state_of, make_update):
    rounds = [{"A": _scores(0.7), "B": _scores(0.6)}, {"A": _scores(0.72), "B": _scores(0.6)}]
    rule = RateMyLoRA(rating="softmax", temperature=0.04)
    first, second = _rounds(rule, state_of, make_update, rounds)
    assert _ratings(first) == {"A": 1.0, "B": 1.0}
    assert _ratings(second) == pytest.approx({"A": 1.0, "B": math.exp(-0.5)})


def test_a_site_without_a_validation_set_has_the_mean_rating(state_of, make_update):
    rounds = [{"A": _scores(0.8), "B": {}}, {"A": _scores(0.78), "B": {}}, {"B": {}}]
    _, second, alone = _rounds(RateMyLoRA(temperature=0.02), state_of, make_update, rounds)
    assert _ratings(second) == pytest.approx({"A": math.exp(-1), "B": math.exp(-1)})
    assert _ratings(alone) == {"B": 1.0}
    assert alone.signals["B"] == {"rating": 1.0}


def test_another_kind_of_score_starts_the_comparison_anew(state_of, make_update):
    rounds = [{"A": _scores(0.9)}, {"A": _scores(0.5, kind="loss")}, {"A": _scores(0.4, kind="loss")}]
    _, second, third = _rounds(RateMyLoRA(temperature=0.1), state_of, make_update, rounds)
    assert _ratings(second) == {"A": 1.0}
    assert second.signals["A"]["score_by_loss"] == 1.0
    assert _ratings(third)["A"] == pytest.approx(math.exp(-1))


def test_no_rating_is_zero(state_of, make_update):
    rounds = [{"A": _scores(1.0)}, {"A": _scores(0.0)}]
    result = _rounds(RateMyLoRA(temperature=1e-5), state_of, make_update, rounds)[1]
    assert _ratings(result) == {"A": MIN_RATING}
    assert result.weights == {"A": 1.0}


def test_equal_sites_keep_their_weight_by_default(state_of, make_update):
    """A score that falls from 1 to 0.75, one pair of four, costs a site 39 % of its rating, not all of it."""
    _, second = _rounds(
        RateMyLoRA(), state_of, make_update, [{"A": _scores(s), "B": _scores(0.6)} for s in (1.0, 0.75)]
    )
    assert _ratings(second) == pytest.approx({"A": math.exp(-0.5), "B": 1.0})
    assert second.weights["A"] == pytest.approx(0.25, abs=0.09)
