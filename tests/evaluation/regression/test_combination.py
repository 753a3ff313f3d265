import json
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.regression.combination import combine_numbers
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.summary import NumberSummary, summarise_numbers

LIMITS = (40.0, 100.0)
Draw = Callable[..., NumberPredictions]


def together(parts: list[NumberPredictions]) -> NumberPredictions:
    return NumberPredictions(
        tuple(f"{site}{name}" for site, part in enumerate(parts) for name in part.participants),
        tuple(name for part in parts for name in part.sessions),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.predicted for part in parts]),
    )


@pytest.fixture
def tests(draw_numbers: Draw) -> dict[str, NumberPredictions]:
    return {"A": draw_numbers(1, 22, 2), "B": draw_numbers(2, 35, bias=-2.0), "C": draw_numbers(3, 6)}


def sent(tests: dict[str, NumberPredictions], draw_numbers: Draw, share: bool) -> dict[str, NumberSummary]:
    return {
        site: summarise_numbers(draw_numbers(seed + 10, 12), test, LIMITS, share)
        for seed, (site, test) in enumerate(tests.items())
    }


@pytest.mark.parametrize("share", [True, False])
def test_combined_numbers_are_those_of_the_predictions(
    tests: dict[str, NumberPredictions], draw_numbers: Draw, share: bool
) -> None:
    metrics = combine_numbers(sent(tests, draw_numbers, share))
    assert from_json(NumberMetrics, json.loads(json.dumps(to_json(metrics), allow_nan=False))) == metrics
    for part, test in (
        *((metrics.sites[site], test) for site, test in tests.items()),
        (metrics.pooled, together(list(tests.values()))),
    ):
        found = part.measures
        assert found.mae.value == pytest.approx(mean_absolute_error(test.truth, test.predicted), abs=1e-9)
        assert found.rmse.value == pytest.approx(root_mean_squared_error(test.truth, test.predicted), abs=1e-9)
        assert found.r_squared.value == pytest.approx(r2_score(test.truth, test.predicted), abs=1e-9)
        assert found.pearson.value == pytest.approx(pearsonr(test.truth, test.predicted).statistic, abs=1e-9)
        slope, intercept = np.polyfit(test.predicted, test.truth, 1)
        assert (found.slope.value, found.intercept.value) == pytest.approx((slope, intercept), abs=1e-8)
        assert part.truth_deviation == pytest.approx(np.std(test.truth, ddof=1), abs=1e-9)
        assert (part.participants, part.scans) == (test.people, len(test))
        assert sum(own.scans for own in part.residuals) == len(test)
        assert (part.points is not None) is share
    pooled = metrics.pooled.measures.spearman
    rho = spearmanr(*(getattr(together(list(tests.values())), name) for name in ("truth", "predicted"))).statistic
    assert pooled.value == (pytest.approx(rho, abs=1e-9) if share else None)
    assert list(metrics.parts) == ["A", "B", "C", "Pooled"]


def test_whether_predictions_leave_changes_no_interval_of_a_site(
    tests: dict[str, NumberPredictions], draw_numbers: Draw
) -> None:
    shared, kept = (combine_numbers(sent(tests, draw_numbers, share)) for share in (True, False))
    for site in tests:
        for name, estimate in vars(shared.sites[site].measures).items():
            assert getattr(kept.sites[site].measures, name).limits == pytest.approx(estimate.limits, abs=1e-9)
    for name in ("mae", "rmse", "bias"):  # of all sites, too
        limits = getattr(shared.pooled.measures, name).limits
        assert getattr(kept.pooled.measures, name).limits == pytest.approx(limits, abs=1e-9)
    assert "under normality" in kept.pooled.measures.slope.method
    assert "jackknife" in shared.pooled.measures.slope.method
    assert shared.mean == kept.mean


def test_the_correction_is_of_all_sites_validation_scans_or_of_each_sites_own(
    tests: dict[str, NumberPredictions], draw_numbers: Draw
) -> None:
    summaries = sent(tests, draw_numbers, True)
    every = together([draw_numbers(seed + 10, 12) for seed in range(3)])
    slope, intercept = np.polyfit(every.truth, every.predicted, 1)
    metrics = combine_numbers(summaries)
    assert len(set(metrics.corrections.values())) == 1
    assert metrics.corrections["A"].slope == pytest.approx(slope, abs=1e-9)
    gap = tests["B"].predicted - intercept - slope * tests["B"].truth
    assert metrics.sites["B"].gap.mean.value == pytest.approx(gap.mean(), abs=1e-8)
    own = combine_numbers(summaries, shared_model=False)
    assert (own.pooled, len(set(own.corrections.values()))) == (None, 3)


def test_means_over_sites(tests: dict[str, NumberPredictions], draw_numbers: Draw) -> None:
    metrics = combine_numbers(sent(tests, draw_numbers, False))
    for name, mean in vars(metrics.mean).items():
        values = [getattr(part.measures, name).value for part in metrics.sites.values()]
        assert mean.value == pytest.approx(np.mean(values)), name
        assert mean.low < mean.value < mean.high
        assert (mean.sites, mean.mark) == (("A", "B", "C"), "few")


def test_a_site_without_test_scans(draw_numbers: Draw, no_numbers: NumberPredictions) -> None:
    metrics = combine_numbers(sent({"A": draw_numbers(1), "B": no_numbers}, draw_numbers, True))
    assert metrics.mean.mae.sites == ("A",)
    assert metrics.pooled.measures.mae.value == metrics.sites["A"].measures.mae.value
    assert metrics.pooled.measures.spearman.value is not None
    nobody = combine_numbers(sent({"B": no_numbers}, draw_numbers, True))
    assert nobody.pooled.truth_mean is None
    assert from_json(NumberMetrics, to_json(nobody)) == nobody


def test_sites_must_have_the_same_range(draw_numbers: Draw) -> None:
    summaries = {
        site: summarise_numbers(draw_numbers(1), draw_numbers(2), limits, share_predictions=True)
        for site, limits in (("A", LIMITS), ("B", (0.0, 30.0)))
    }
    with pytest.raises(InputError, match="site B"):
        combine_numbers(summaries)
