import pytest

from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.mean_over_sites import mean_over_sites


def test_limits_from_bootstraps_by_hand() -> None:
    """Mean (0.8 + 0.6) / 2; half-widths √(0.1² + 0.1²) / 2 below and √(0.06² + 0.08²) / 2 above."""
    sites = {
        "A": defined(0.8, (0.7, 0.86), "m", few=False),
        "B": defined(0.6, (0.5, 0.68), "m", few=True),
        "C": undefined("one class only"),
    }
    got = mean_over_sites(sites)
    assert got.value == pytest.approx(0.7)
    assert (got.low, got.high) == (pytest.approx(0.7 - 0.02**0.5 / 2), pytest.approx(0.75))
    assert (got.sites, got.mark) == (("A", "B"), "few")


def test_no_site() -> None:
    assert mean_over_sites({"A": undefined("no test scans")}).undefined == "no site has an AUC"
