from collections.abc import Callable

import numpy as np
import pytest

from fedtune3d.evaluation.decision_curve import decision_curve
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.sample import Sample


def test_by_hand(one_scan_each: Callable) -> None:
    """At 0.2: 2 true and 1 false positive of 5; (2 − 1 · 0.25) / 5. Treating all: (3 − 2 · 0.25) / 5."""
    sample = Sample.of_predictions(one_scan_each(np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.2, 0.1, 0.6, 0.05])))
    point = next(point for point in decision_curve(sample) if point.threshold == 0.2)
    assert point.net_benefit.value == pytest.approx(1.75 / 5)
    assert point.treat_all == pytest.approx(2.5 / 5)
    worth = np.array([1, 1, 0, -0.25, 0])
    half_width = 1.959964 * worth.std(ddof=1) / np.sqrt(5)
    assert point.net_benefit.high - point.net_benefit.value == pytest.approx(half_width)


def test_at_low_thresholds_all_are_treated(clustered: Callable) -> None:
    sample = Sample.of_predictions(clustered(np.random.default_rng(0), 50, 2, 0.8, True))
    points = decision_curve(sample)
    assert [point.threshold for point in points][::9] == [0.05, 0.5, 0.95]
    never_negative = Sample.of_predictions(Predictions(("a", "b"), ("", ""), np.array([0, 1]), np.array([0.96, 0.97])))
    assert all(p.net_benefit.value == pytest.approx(p.treat_all) for p in decision_curve(never_negative))


def test_nothing() -> None:
    assert decision_curve(Sample.of_predictions(Predictions((), (), np.array([]), np.array([])))) == ()
