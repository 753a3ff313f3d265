"""Predictive values against Bayes by hand, and their intervals against statsmodels and a general optimiser."""

import itertools

import numpy as np
import pytest
from other_statistics import Z, ratio_statistic
from scipy.stats import binom
from statsmodels.stats.proportion import confint_proportions_2indep

from fedtune3d.evaluation.confusion import Confusion
from fedtune3d.evaluation.predictive_values import METHOD, predictive_values, ratio_interval


def test_bayes_by_hand() -> None:
    """8 of 10 and 18 of 20: at a prevalence of 1 in 10, of 1,000 people 80 of 170 positive and 810 of 830 negative."""
    own, at = predictive_values(Confusion(8, 2, 18, 2), (20, 10), (0.1,))
    assert (own.prevalence, own.of_test_set) == (pytest.approx(1 / 3), True)
    assert own.positive.value == pytest.approx(8 / 10)  # the share of test scans
    assert own.negative.value == pytest.approx(18 / 20)
    assert (at.prevalence, at.of_test_set) == (0.1, False)
    assert at.positive.value == pytest.approx(80 / 170)
    assert at.negative.value == pytest.approx(810 / 830)
    assert at.positive.method == METHOD


@pytest.mark.parametrize(("first", "second"), [((8, 10), (2, 20)), ((3, 12), (9, 11)), ((40, 50), (5, 60))])
def test_the_ratio_has_the_score_interval_of_statsmodels(first: tuple[int, int], second: tuple[int, int]) -> None:
    expected = confint_proportions_2indep(*first, *second, method="score", compare="ratio", correction=False)
    got = ratio_interval(first[0] / first[1], first[1], second[0] / second[1], second[1])
    assert got == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("first", [(0.75, 12), (0.2, 5), (1.0, 9), (0.0, 8)])
@pytest.mark.parametrize("second", [(0.3, 11), (0.05, 40), (0.0, 7), (1.0, 6)])
def test_both_limits_are_z_standard_errors_away(first: tuple[float, int], second: tuple[float, int]) -> None:
    if first[0] == second[0] == 0:
        return
    low, high = ratio_interval(first[0], first[1], second[0], second[1])
    assert (low == 0) == (first[0] == 0)
    assert np.isinf(high) == (second[0] == 0)
    for limit in (limit for limit in (low, high) if 0 < limit < np.inf):
        assert ratio_statistic(limit, first, second) == pytest.approx(Z**2, rel=1e-3)


def test_the_interval_keeps_its_coverage() -> None:
    """Exact, over all outcomes of 15 positive and 20 negative people; nobody called positive has no PPV."""
    positives, negatives = 15, 20
    for sensitivity, specificity in itertools.product((0.7, 0.9), (0.7, 0.9)):
        truth, held, possible = 0.2 * sensitivity / (0.2 * sensitivity + 0.8 * (1 - specificity)), 0.0, 0.0
        for hits, alarms in itertools.product(range(positives + 1), range(negatives + 1)):
            chance = binom.pmf(hits, positives, sensitivity) * binom.pmf(alarms, negatives, 1 - specificity)
            found = Confusion(hits, positives - hits, negatives - alarms, alarms)
            limits = predictive_values(found, (negatives, positives), (0.2,))[1].positive.limits
            if limits is not None:
                possible += chance
                held += chance * (limits[1] - 1e-12 <= truth <= limits[2] + 1e-12)
        assert 0.93 <= held / possible <= 0.985


def test_ends_stay_in_range() -> None:
    own, at = predictive_values(Confusion(5, 0, 6, 0), (6, 5), (0.05,))
    assert (own.positive.value, own.positive.high, own.negative.value, own.negative.high) == (1, 1, 1, 1)
    assert 0 < at.positive.low < own.positive.low < 1
    none_found, _ = predictive_values(Confusion(0, 5, 4, 2), (6, 5), (0.05,))
    assert (none_found.positive.value, none_found.positive.low) == (0, 0)
    assert none_found.positive.mark == "few"


def test_what_has_no_predictive_value_says_why() -> None:
    never, _ = predictive_values(Confusion(0, 5, 6, 0), (6, 5), (0.5,))
    assert never.positive.undefined == "no scan reaches the threshold"
    assert never.negative.value == pytest.approx(6 / 11)
    always, _ = predictive_values(Confusion(5, 0, 0, 6), (6, 5), (0.5,))
    assert always.negative.undefined == "every scan reaches the threshold"
    (one_class,) = predictive_values(Confusion(0, 0, 6, 1), (7, 0), (0.5,))
    assert one_class.positive.undefined == one_class.negative.undefined == "no positive test scans"
    (suppressed,) = predictive_values(Confusion(0, 0, 0, 0), (0, 0), (0.5,))
    assert "too few for the policy" in (suppressed.positive.undefined or "")
    (no_threshold,) = predictive_values(None, (7, 5), (0.5,))
    assert "no threshold" in (no_threshold.negative.undefined or "")


def test_a_person_with_several_scans_is_one_observation() -> None:
    once, _ = predictive_values(Confusion(8, 2, 18, 2), (20, 10), (0.1,))
    twice, _ = predictive_values(Confusion(16, 4, 36, 4), (20, 10), (0.1,))
    assert twice == once
