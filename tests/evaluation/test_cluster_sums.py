from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import sem

from fedtune3d.evaluation.cluster_sums import ClusterSums, require_possible_sums


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).gamma(2.0, 1.5, 60)


def test_with_one_scan_each_it_is_the_standard_error_of_a_mean(values: np.ndarray) -> None:
    measure = ClusterSums.of(values, np.random.default_rng(1).permutation(60)).measure
    assert (measure.value, measure.degrees) == (pytest.approx(values.mean(), abs=1e-12), 59)
    assert measure.variance == pytest.approx(sem(values) ** 2, abs=1e-12)


def test_with_several_scans_each_it_is_the_cluster_robust_variance_of_statsmodels(values: np.ndarray) -> None:
    codes = np.sort(np.random.default_rng(2).integers(0, 17, 60))
    codes = np.unique(codes, return_inverse=True)[1]
    fit = sm.OLS(values, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": codes})
    measure = ClusterSums.of(values, codes).measure
    assert (measure.value, measure.variance) == pytest.approx((fit.params[0], fit.bse[0] ** 2), abs=1e-9)


def test_sums_of_sites_are_those_of_all_scans(values: np.ndarray) -> None:
    codes = np.repeat(np.arange(20), 3)
    together = ClusterSums.of(values, codes)
    apart = ClusterSums.pooled([ClusterSums.of(values[:30], codes[:30]), ClusterSums.of(values[30:], codes[30:] - 10)])
    assert vars(apart) == pytest.approx(vars(together), abs=1e-9)
    assert apart.measure.variance == pytest.approx(together.measure.variance, abs=1e-12)


def test_one_person_has_no_variance_and_nobody_no_mean() -> None:
    assert ClusterSums.of(np.ones(3), np.zeros(3, int)).measure is None
    nobody = ClusterSums.of(np.empty(0), np.empty(0, int))
    assert (nobody, nobody.measure) == (ClusterSums.pooled([]), None)


@pytest.mark.parametrize(
    "change",
    [{"people": 4}, {"squared_scans": 2}, {"total": -0.1}, {"total": 99.0}, {"squared_total": 0.1}],
)
def test_impossible_sums(change: dict[str, float], values: np.ndarray) -> None:
    sums = ClusterSums.of(values[:9] / 10, np.repeat(np.arange(3), 3))
    require_possible_sums(sums, 3, 9, 0.0, 2.0)
    with pytest.raises(ValueError, match="sum"):
        require_possible_sums(replace(sums, **change), 3, 9, 0.0, 2.0)
