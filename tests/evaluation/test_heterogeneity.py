"""The spread between sites, against statsmodels."""

import numpy as np
import pytest
from scipy.stats import t as student
from statsmodels.stats.meta_analysis import combine_effects

from fedtune3d.evaluation.auc_interval import AucVariance
from fedtune3d.evaluation.heterogeneity import heterogeneity

AUCS = (0.62, 0.95, 0.81, 0.70, 0.99, 0.85)
VARIANCES = tuple(AucVariance(ratio, 20 + site, 15) for site, ratio in enumerate((1.0, 0.8, 1.1, 0.9, 1.3, 1.0)))


def logits_and_variances() -> tuple[np.ndarray, np.ndarray]:
    """By the delta method, with half a pair added on either side."""
    pairs = np.array([part.negatives * part.positives for part in VARIANCES])
    inside = (np.array(AUCS) * pairs + 0.5) / (pairs + 1)
    variances = [v.at(a) / (a * (1 - a)) ** 2 for a, v in zip(inside, VARIANCES, strict=True)]
    return np.log(inside / (1 - inside)), np.array(variances)


def test_equals_statsmodels() -> None:
    got = heterogeneity(AUCS, VARIANCES, few=False)
    logits, variances = logits_and_variances()
    known = combine_effects(logits, variances, method_re="iterated", atol=1e-12)
    assert got.tau**2 == pytest.approx(known.tau2, rel=1e-6)
    assert got.i_squared == pytest.approx((known.q - 5) / known.q)
    assert np.log(got.new_site.value / (1 - got.new_site.value)) == pytest.approx(known.mean_effect_re)
    half_width = student.ppf(0.975, 4) * np.sqrt(known.tau2 + known.sd_eff_w_re**2)
    for limit, sign in ((got.new_site.low, -1), (got.new_site.high, 1)):
        assert np.log(limit / (1 - limit)) == pytest.approx(known.mean_effect_re + sign * half_width)


def test_equal_sites_have_no_spread() -> None:
    got = heterogeneity([0.8] * 5, [AucVariance(1.0, 12, 12)] * 5, few=True)
    assert (got.tau, got.i_squared, got.sites, got.new_site.mark) == (0, 0, 5, "few")


def test_needs_five_sites() -> None:
    assert heterogeneity(AUCS[:4], VARIANCES[:4], few=False) is None


def test_prediction_interval_holds_new_sites() -> None:
    rng, held = np.random.default_rng(3), 0
    for _ in range(400):
        true = 1 / (1 + np.exp(-(1.5 + 0.6 * rng.normal(size=9))))
        variances = [AucVariance(1.0, 40, 40)] * 8
        seen = np.clip(rng.normal(true[:8], [np.sqrt(variances[0].at(auc)) for auc in true[:8]]), 0, 1)
        found = heterogeneity(seen.tolist(), variances, few=False).new_site
        held += found.low <= true[8] <= found.high
    assert 0.9 <= held / 400 <= 0.99
