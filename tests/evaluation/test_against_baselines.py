from collections.abc import Callable

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from fedtune3d.evaluation.against_baselines import against_baselines
from fedtune3d.evaluation.paired import combine_comparisons, paired_delong
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.paired import combine_error_comparisons, paired_errors
from fedtune3d.evaluation.regression.summary import summarise_numbers
from fedtune3d.evaluation.summary import Summary, summarise

METHODS = {"federated": 0.9, "local": 0.7, "centralized": 0.85}
Drawn = tuple[dict[str, dict[str, Predictions]], dict[str, dict[str, Summary]]]


@pytest.fixture(name="drawn")
def _drawn(clustered: Callable) -> Drawn:
    """Method → site → test predictions, and the summaries that the sites send."""
    tests = {
        method: {
            site: clustered(np.random.default_rng([number, seed]), 40, 2, auc, False) for seed, site in enumerate("AB")
        }
        for number, (method, auc) in enumerate(METHODS.items())
    }
    sent = {
        method: {
            site: summarise(test, test, 1, False, federated=None if method == "federated" else tests["federated"][site])
            for site, test in by_site.items()
        }
        for method, by_site in tests.items()
    }
    return tests, sent


def test_differences_are_those_of_the_same_scans(drawn: Drawn) -> None:
    tests, sent = drawn
    got = against_baselines(sent)
    assert list(got) == ["local", "centralized"]
    for method, found in got.items():
        by_site = {site: paired_delong(tests["federated"][site], tests[method][site]) for site in "AB"}
        assert {site: tested.comparison for site, tested in found.sites.items()} == by_site
        assert found.mean.comparison == combine_comparisons(by_site)


@pytest.mark.ci
def test_holm_over_the_means_and_over_the_sites(drawn: Drawn) -> None:
    got = against_baselines(drawn[1])
    families = [
        [found.mean for found in got.values()],
        [tested for found in got.values() for tested in found.sites.values()],
    ]
    for family in families:
        adjusted = multipletests([tested.comparison.p_value for tested in family], method="holm")[1]
        assert [tested.p_holm for tested in family] == pytest.approx(adjusted.tolist())


def test_errors_of_numbers_are_compared_in_the_same_way() -> None:
    rng = np.random.default_rng(5)
    names, ages = tuple(f"sub-{row:02d}" for row in range(20)), {site: rng.uniform(50, 90, 20) for site in "AB"}
    tests = {
        method: {
            site: NumberPredictions(names, ("",) * 20, ages[site], ages[site] + rng.normal(0, spread, 20))
            for site in "AB"
        }
        for method, spread in {"federated": 3.0, "local": 8.0, "centralized": 3.5}.items()
    }
    sent = {
        method: {
            site: summarise_numbers(
                test, test, (40, 100), False, federated=None if method == "federated" else tests["federated"][site]
            )
            for site, test in by_site.items()
        }
        for method, by_site in tests.items()
    }
    got = against_baselines(sent)
    assert list(got) == ["local", "centralized"]
    for method, found in got.items():
        by_site = {site: paired_errors(tests["federated"][site], tests[method][site]) for site in "AB"}
        assert {site: tested.comparison for site, tested in found.sites.items()} == by_site
        assert found.mean.comparison == combine_error_comparisons(by_site)
    assert got["local"].mean.comparison.difference.high < 0
    assert got["local"].mean.p_holm == pytest.approx(2 * got["local"].mean.comparison.p_value)


def test_without_baselines_there_is_nothing_to_compare(drawn: Drawn) -> None:
    assert against_baselines({"federated": drawn[1]["federated"]}) == {}
