import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.models.feature_statistics import FeatureStatistics


def test_the_limit_comes_from_each_scan_left_out() -> None:
    pooled = numpy_rng("pooled").normal(size=(30, 5)) * [1, 2, 3, 4, 5] + 7
    distances = []
    for left_out in range(30):
        others = LedoitWolf().fit(np.delete(pooled, left_out, axis=0))
        distances.append(np.sqrt(others.mahalanobis(pooled[left_out : left_out + 1])[0] / 5))
    assert FeatureStatistics.of(pooled).limit == pytest.approx(sorted(distances)[30 - 1])  # ⌈0.95 · 31⌉ = 30


@pytest.mark.ci
def test_one_scan_in_twenty_of_the_same_kind_is_beyond_the_limit() -> None:
    rng = numpy_rng("coverage")
    beyond = []
    for _ in range(60):
        usual = FeatureStatistics.of(rng.normal(size=(60, 8)))
        beyond.append(np.mean([usual.distance(scan) > usual.limit for scan in rng.normal(size=(50, 8))]))
    assert 0.03 < np.mean(beyond) < 0.07


def test_a_scan_off_the_line_that_all_others_lie_on_is_beyond_the_limit() -> None:
    rng = numpy_rng("line")
    along = rng.normal(size=(40, 1)) * np.ones(16)
    usual = FeatureStatistics.of(along + 0.1 * rng.normal(size=(40, 16)))
    assert usual.distance(np.full(16, 1.5)) < usual.limit
    assert usual.distance(np.tile([1.5, -1.5], 8)) > 3 * usual.limit


def test_it_goes_through_tensors() -> None:
    usual = FeatureStatistics.of(numpy_rng("state").normal(size=(12, 4)))
    again = FeatureStatistics.from_state(usual.as_state())
    assert again.limit == usual.limit
    assert again.distance(np.ones(4)) == usual.distance(np.ones(4))


def test_too_few_scans_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 scans, got 7"):
        FeatureStatistics.of(np.ones((7, 3)))
