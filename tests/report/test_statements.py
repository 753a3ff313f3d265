from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation import against_baselines
from fedtune3d.evaluation.calibration import Calibration
from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.paired import SAME_RANKING
from fedtune3d.evaluation.reliability import CalibrationError
from fedtune3d.report import statements
from fedtune3d.report.run_contents import read_run

NAMES = ClassNames("AD", "CN")


@pytest.fixture
def metrics(make_run: Callable[..., Path]) -> RunMetrics:
    found = read_run(make_run()).metrics
    assert found is not None
    return found


def estimate(value: float, low: float, high: float) -> Estimate:
    return defined(value, (low, high), "m", few=False)


def test_of_errors_less_is_better() -> None:
    assert statements.verdict(estimate(-1.0, -2.0, -0.1), of_errors=True) == "better"
    assert statements.verdict(estimate(1.0, 0.1, 2.0), of_errors=True) == "worse"
    assert statements.verdict(estimate(1.0, -0.1, 2.0), of_errors=True) == "no difference shown"


def test_an_interval_reads_as_a_sentence_does() -> None:
    assert statements.ci(estimate(0.924, 0.76, 0.96)) == "0.92 (95% CI 0.76–0.96)"
    assert statements.ci(estimate(-3.63, -8.83, -1.18)) == "−3.63 (95% CI −8.83 to −1.18)"
    assert statements.ci(estimate(0.11, -0.021, 0.24), "+") == "+0.11 (95% CI −0.02 to +0.24)"
    assert statements.ci(estimate(-0.4, -1.1, 0.3), "+", "years") == "−0.40 years (95% CI −1.10 to +0.30)"
    assert statements.ci(estimate(-0.001, -0.04, 0.04), "+") == "0.00 (95% CI −0.04 to +0.04)"
    assert statements.ci(estimate(0.1, -0.001, 0.2), "+") == "+0.10 (95% CI −0.00 to +0.20)"
    assert statements.ci(undefined("one class only")) == "not defined: one class only"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.2, "better"),
        (-0.2, -0.01, "worse"),
        (-0.1, 0.1, "no difference shown"),
        (0.0, 0.2, "no difference shown"),
    ],
)
def test_a_difference_is_judged_by_its_interval(low: float, high: float, expected: str) -> None:
    assert statements.verdict(estimate((low + high) / 2, low, high)) == expected
    of_error = statements.verdict(estimate((low + high) / 2, low, high), of_errors=True)
    assert of_error == {"better": "worse", "worse": "better"}.get(expected, expected)
    assert statements.verdict(undefined("none")) == ""


def minus(metrics: RunMetrics, name: str, limits: tuple[float, float], of_sites: tuple[float, float]) -> RunMetrics:
    """The metrics with these limits of the mean difference from a baseline, and of the difference at every site.

    The adjusted p-values agree with them.
    """
    part = metrics.against[name]
    changed = replace(
        part,
        mean=differing(part.mean, limits),
        sites={place: differing(tested, of_sites) for place, tested in part.sites.items()},
    )
    return replace(metrics, against=metrics.against | {name: changed})


def differing(
    tested: against_baselines.Tested, limits: tuple[float, float], p_holm: float | None = None
) -> against_baselines.Tested:
    """A difference with these limits, and an adjusted p-value that agrees with them if none is given."""
    low, high = limits
    comparison = replace(tested.comparison, difference=estimate((low + high) / 2, low, high))
    return against_baselines.Tested(comparison, (0.6 if low <= 0 <= high else 0.01) if p_holm is None else p_holm)


BETTER, ALIKE = (0.1, 0.2), (-0.1, 0.2)


def test_the_comparison_names_each_baseline(metrics: RunMetrics) -> None:
    changed = minus(minus(metrics, "local", BETTER, BETTER), "centralized", ALIKE, ALIKE)
    assert statements.comparison_sentence(changed) == (
        "On average over the sites, the federated model is better than the sites' own "
        "models; no difference was shown between it and the centralized model (the 95% CI includes 0)."
    )
    assert "was not compared" in statements.comparison_sentence(replace(metrics, against={}))


def test_a_mean_that_differs_is_not_taken_for_a_difference_at_any_site(metrics: RunMetrics) -> None:
    changed = minus(metrics, "local", BETTER, ALIKE)
    text = statements.comparison_sentence(changed)
    assert "is better than the sites' own models (no single site shows it)" in text
    changed = minus(metrics, "local", (-0.2, -0.1), BETTER)  # a site that shows the reverse does not show it
    assert "is worse than the sites' own models (no single site shows it)" in statements.comparison_sentence(changed)


def test_a_difference_that_the_adjustment_takes_away_is_not_called_one(metrics: RunMetrics) -> None:
    """The page also gives the adjusted p-values, which must not contradict its first sentence."""
    changed = minus(minus(metrics, "local", ALIKE, ALIKE), "centralized", (-0.4, -0.03), ALIKE)
    part = changed.against["centralized"]
    changed = replace(
        changed,
        against=changed.against | {"centralized": replace(part, mean=differing(part.mean, (-0.4, -0.03), 0.052))},
    )
    assert statements.verdict_words(changed.against["centralized"].mean) == (
        "not shown after Holm's adjustment (p 0.052)"
    )
    assert statements.comparison_sentence(changed) == (
        "On average over the sites, no difference was shown between the federated model and the sites' own models "
        "(the 95% CI includes 0); a difference between it and the centralized model (p 0.052) is not shown after "
        "Holm's adjustment. None of these models is shown to be best."
    )


def test_a_site_whose_own_difference_is_shown_is_named_where_the_mean_shows_none(metrics: RunMetrics) -> None:
    changed = minus(minus(metrics, "local", ALIKE, ALIKE), "centralized", ALIKE, ALIKE)
    part = changed.against["local"]
    first = min(part.sites)
    worse = part.sites | {first: differing(part.sites[first], (-1.0, -0.21), 0.03)}
    text = statements.comparison_sentence(
        replace(changed, against=changed.against | {"local": replace(part, sites=worse)})
    )
    assert text.endswith(
        f"None of these models is shown to be best. At {first}, the federated model is worse than the site's own model."
    )
    adjusted = part.sites | {first: differing(part.sites[first], (-1.0, -0.21), 0.06)}
    assert f"At {first}" not in statements.comparison_sentence(
        replace(changed, against=changed.against | {"local": replace(part, sites=adjusted)})
    )


def test_an_interval_that_includes_0_is_no_proof_of_no_difference(metrics: RunMetrics) -> None:
    both = minus(minus(metrics, "local", ALIKE, ALIKE), "centralized", ALIKE, ALIKE)
    assert statements.comparison_sentence(both) == (
        "On average over the sites, no difference was shown between the federated model "
        "and the sites' own models or the centralized model (their 95% CIs include 0). None of these models is shown "
        "to be best."
    )


def test_models_that_tie_are_neither_better_nor_worse(metrics: RunMetrics) -> None:
    against = {
        name: replace(
            part, mean=replace(part.mean, comparison=replace(part.mean.comparison, difference=undefined(SAME_RANKING)))
        )
        for name, part in metrics.against.items()
    }
    tied = replace(metrics, against=against)
    assert statements.comparison_sentence(tied) == (
        "On average over the sites, the federated model is neither better nor worse than the sites' own models and the "
        "centralized model."
    )
    one_better = minus(tied, "centralized", BETTER, BETTER)
    assert statements.comparison_sentence(one_better) == (
        "On average over the sites, the federated model is better than the centralized model."
    )


def test_of_one_site_there_is_no_average(metrics: RunMetrics) -> None:
    changed = minus(metrics, "local", BETTER, BETTER)
    mean = changed.against["local"].mean
    alone = replace(
        changed.against["local"], mean=replace(mean, comparison=replace(mean.comparison, sites=("Boston",)))
    )
    assert statements.comparison_sentence(replace(changed, against={"local": alone})) == (
        "On the same test people, the federated model is better than the sites' own models."
    )


@pytest.mark.parametrize(
    ("slope", "intercept", "words"),
    [
        ((0.5, 0.3, 0.7), (0.1, -0.2, 0.4), "overconfident, probabilities too extreme (slope 0.50, 95% CI 0.30"),
        ((97.19, 63.08, 131.31), (0.1, -0.2, 0.4), "not extreme enough (slope 97, 95% CI 63 to 131)"),
        ((3.5, 1.4, 5.6), (0.1, -0.2, 0.4), "underconfident, probabilities not extreme enough (slope 3.50, 95% CI"),
        ((1.1, 0.6, 1.6), (0.1, -0.2, 0.4), "no sign of over- or underconfidence (slope 1.10, "),
        ((1.1, 0.6, 1.6), (-1.2, -2, -0.4), "; probabilities of AD too high overall (intercept −1.20, 95% CI −2"),
        ((0.45, -0.34, 1.25), (0.1, -0.2, 0.4), "too few people to tell whether the model is over- or underconfident"),
        ((1.1, 0.6, 1.6), (1.2, 0.4, 2), "; probabilities of AD too low overall"),
    ],
)  # fmt: skip
def test_calibration_in_words(
    slope: tuple[float, float, float], intercept: tuple[float, float, float], words: str
) -> None:
    error = CalibrationError(0.1, 0.05)
    found = Calibration(estimate(*slope), estimate(*intercept), estimate(0.1, 0.05, 0.2), error)
    assert words in statements.calibration_words(found, NAMES)


def test_without_a_slope_the_reason_is_given() -> None:
    nothing = undefined("under 10 people in a class")
    found = Calibration(nothing, nothing, nothing, CalibrationError(None, None))
    assert statements.calibration_words(found, NAMES) == "not measured (under 10 people in a class)"


def test_rates_have_their_counts_and_names(metrics: RunMetrics) -> None:
    pooled = metrics.federated.pooled
    assert pooled is not None
    assert pooled.confusion is not None
    text = statements.rates(pooled, NAMES)
    assert text.startswith(f"sensitivity {pooled.confusion.sensitivity} AD, {pooled.sensitivity.value:.2f} (95% CI ")
    assert f"; specificity {pooled.confusion.specificity} CN, " in text
    numbered = statements.rates(pooled, ClassNames("1", "0"))
    assert numbered.startswith(f"sensitivity {pooled.confusion.sensitivity} of class 1, ")
    assert statements.rates(replace(pooled, confusion=None), NAMES) == ""


def test_a_new_scan(metrics: RunMetrics) -> None:
    pooled = metrics.federated.pooled
    assert pooled is not None
    fine = replace(pooled.calibration, slope=estimate(1.1, 0.6, 1.6), intercept=estimate(0.1, -0.2, 0.4))
    text = statements.new_scan_sentence(replace(pooled, calibration=fine), "0.512", NAMES)
    assert text == "the model gives the probability of AD; 0.512 or above is classified as AD, below it as CN"
    off = replace(fine, intercept=estimate(2.2, 1.4, 3.0))
    assert statements.new_scan_sentence(replace(pooled, calibration=off), "0.028", NAMES) == (
        "the model gives a probability of AD that is not calibrated (see Calibration); "
        "0.028 or above is classified as AD, below it as CN"
    )
    unknown = replace(fine, slope=undefined("the probabilities are nearly constant"))
    assert statements.new_scan_sentence(replace(pooled, calibration=unknown), "0.426", NAMES).startswith(
        "the model gives a probability of AD whose calibration was not measured; 0.426 or above"
    )
    assert "no threshold" in statements.new_scan_sentence(None, "–", NAMES)
