"""What `combine` adds up beside the AUC, checked against all scans in one place."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation import MethodMetrics, Predictions, combine, delong_estimate, summarise
from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.grid import EDGES
from fedtune3d.evaluation.sample import Sample


def sites_of(clustered: Callable, share: bool, scans_each: int = 1) -> tuple[dict[str, Predictions], dict]:
    rng = np.random.default_rng(8)
    tests, summaries = {}, {}
    for site in "AB":
        validation, tests[site] = (clustered(rng, 60, scans_each, 0.8, False) for _ in range(2))
        axes = {"sex": ["F" if row % 3 else "M" for row in range(len(tests[site]))]}
        summaries[site] = summarise(validation, tests[site], 1, share, axes)
    return tests, summaries


def together(tests: dict[str, Predictions]) -> Predictions:
    return Predictions(
        tuple(f"{site}{name}" for site, part in tests.items() for name in part.participants),
        tuple(session for part in tests.values() for session in part.sessions),
        np.concatenate([part.labels for part in tests.values()]),
        np.concatenate([part.probabilities for part in tests.values()]),
    )


def numbers(estimate: Estimate) -> list[float]:
    return list(estimate.limits)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("scans_each", [1, 3])
def test_pooled_numbers_are_those_of_all_scans_in_one_place(clustered: Callable, share: bool, scans_each: int) -> None:
    tests, summaries = sites_of(clustered, share, scans_each)
    pooled, everything = combine(summaries, seed=2).pooled, together(tests)
    own = calibration(Sample.of_predictions(everything))
    expected = {"auc_delong": delong_estimate(everything), "slope": own.slope, "intercept": own.intercept}
    expected["brier"] = own.brier
    got = {"auc_delong": pooled.auc_delong, "slope": pooled.calibration.slope}
    got |= {"intercept": pooled.calibration.intercept, "brier": pooled.calibration.brier}
    for name, estimate in expected.items():
        if share:
            assert numbers(got[name]) == pytest.approx(numbers(estimate), rel=1e-9)
            assert got[name].method == estimate.method
        else:
            assert got[name].value == pytest.approx(estimate.value, abs=0.005)
            assert "from counts on a grid" in got[name].method
            # Several scans a person count as copies: never narrower than with the people known.
            assert got[name].high - got[name].low > 0.98 * (estimate.high - estimate.low)
    assert pooled.calibration.brier.value == pytest.approx(
        brier_score_loss(everything.labels, everything.probabilities), abs=0 if share else 0.003
    )
    assert sum(point.scans for point in pooled.calibration_curve) == len(everything)


@pytest.mark.parametrize("share", [True, False])
def test_sensitivity_at_the_specificity_of_the_validation_scans(clustered: Callable, share: bool) -> None:
    tests, summaries = sites_of(clustered, share)
    metrics = combine(summaries, seed=2)
    for site, test in tests.items():
        got = metrics.sites[site].at_specificity
        assert got.threshold in EDGES
        assert got.threshold == metrics.pooled.at_specificity.threshold
        called = test.probabilities >= got.threshold
        assert got.sensitivity.value == called[test.labels == 1].mean()
        assert got.specificity.value == (~called)[test.labels == 0].mean()


def test_saturated_probabilities_leave_no_threshold_at_that_specificity_and_the_reason_says_so() -> None:
    """Both classes have validation scans, and a threshold with the highest Youden's J, but none at 90% specificity."""
    labels = np.repeat([0, 1], [21, 20])
    probabilities = np.r_[np.full(18, 0.1), np.full(3, 0.9999988), np.full(20, 0.99999986)]
    rows = Predictions(tuple(f"p{n}" for n in range(41)), ("",) * 41, labels, probabilities)
    metrics = combine({"A": summarise(rows, rows, 1, True, {})}, seed=2)
    for part in (metrics.sites["A"], metrics.pooled):
        assert part.threshold is not None
        assert part.sensitivity.value == 1
        assert part.at_specificity.threshold is None
        for estimate in (part.at_specificity.sensitivity, part.at_specificity.specificity):
            assert "more than 10% of the negative validation scans" in estimate.undefined


def test_a_sites_own_numbers_are_of_its_predictions_whatever_leaves(clustered: Callable) -> None:
    tests, summaries = sites_of(clustered, share=False)
    site = combine(summaries, seed=2).sites["A"]
    assert site.auc_delong == delong_estimate(tests["A"])
    assert site.calibration.slope == calibration(Sample.of_predictions(tests["A"])).slope


def test_groups_by_sex_and_by_site(clustered: Callable) -> None:
    tests, summaries = sites_of(clustered, share=False)
    groups = combine(summaries, seed=2).groups
    assert {axis: sorted(part.groups) for axis, part in groups.items()} == {"sex": ["F", "M"], "site": ["A", "B"]}
    assert groups["sex"].groups["F"].scans + groups["sex"].groups["M"].scans == 120
    assert groups["site"].groups["A"].auc.value == pytest.approx(delong_estimate(tests["A"]).value, abs=0.005)


def test_models_of_their_own_are_not_pooled_or_compared(clustered: Callable) -> None:
    metrics = combine(sites_of(clustered, share=True)[1], seed=2, shared_model=False)
    assert metrics.pooled is metrics.groups is None
    assert metrics.sites["A"].calibration.slope.value is not None


def test_everything_is_json_and_does_not_depend_on_the_order_of_sites(clustered: Callable) -> None:
    _, summaries = sites_of(clustered, share=True)
    metrics = combine(summaries, seed=2)
    assert from_json(MethodMetrics, json.loads(json.dumps(to_json(metrics), allow_nan=False))) == metrics
    assert combine(dict(reversed(summaries.items())), seed=2) == metrics
