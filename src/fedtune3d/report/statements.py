"""Findings of a run in words: better or worse than a baseline, calibration, a clinic's two rates."""

from collections.abc import Iterator, Mapping

from fedtune3d.config.class_names import ClassNames, of_class
from fedtune3d.evaluation.against_baselines import AgainstBaseline, Tested
from fedtune3d.evaluation.calibration import Calibration
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import PooledMetrics, RunMetrics, TestMetrics
from fedtune3d.report.number_formatting import NO_WIDTH, limits_text, p_value
from fedtune3d.report.ties import tie

BASELINES = {
    "local": "the sites' own models",
    "centralized": "the centralized model",
    "leave_one_site_out": "models trained without the site",
}
"""Baseline → what it is, in a sentence."""

_OF_ONE_SITE = {"local": "the site's own model", "leave_one_site_out": "the model trained without the site"}

ALPHA = 0.05
"""An adjusted p-value from this on shows no difference."""

NOT_SHOWN = "no difference shown"
"""Verdict on a difference whose interval includes 0."""

NOT_AFTER_HOLM = "not shown after Holm's adjustment"
"""Verdict on a difference whose interval excludes 0 but whose adjusted p-value is not below `ALPHA`."""

_SHOWN = ("better", "worse")

WIDE = 1.0
"""An interval of the calibration slope that is wider than this and holds 1 tells nothing."""


def ci(estimate: Estimate, sign: str = "", unit: str = "") -> str:
    """Format an estimate for a sentence: `0.92 (95% CI 0.76–0.96)`, or `+0.11 (95% CI −0.02 to +0.24)` with a sign
    or a negative limit.

    With a unit: `−0.40 years (95% CI −1.10 to +0.30)`.
    """
    if estimate.limits is None:
        return f"not defined: {estimate.undefined}"
    value, low, high = limits_text(estimate.limits, sign)
    between = " to " if sign or low.startswith("−") else "–"
    found = f"95% CI {low}{between}{high}" if low != high else NO_WIDTH
    return f"{value} {unit}".rstrip() + f" ({found})"


def verdict(difference: Estimate, of_errors: bool = False) -> str:
    """Judge a difference by its interval: ``better``, ``worse``, ``no difference shown``, or empty if undefined.

    Args:
        difference: First minus second.
        of_errors: Whether lower is better.
    """
    if difference.limits is None:
        return ""
    _, low, high = difference.limits
    if of_errors:
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else NOT_SHOWN


def tested_verdict(tested: Tested) -> str:
    """Judge a difference by its interval and by its p-value adjusted by Holm, which must agree for it to be shown."""
    found = verdict(tested.comparison.difference, tested.comparison.lower_is_better)
    adjusted_away = tested.p_holm is not None and tested.p_holm >= ALPHA
    return NOT_AFTER_HOLM if found in _SHOWN and adjusted_away else found


def verdict_words(tested: Tested) -> str:
    """Return `tested_verdict` with the p-value that decided, where it is not the interval."""
    found = tested_verdict(tested)
    return f"{found} (p {p_value(tested.p_holm)})" if found == NOT_AFTER_HOLM else found


def comparison_sentence(metrics: RunMetrics) -> str:
    """Say whether the federated model is better than the baselines on the same test people, and if none is best.

    The verdict is on the mean over sites, which may differ from 0 where no site's own difference does. Sites whose own
    difference is shown although the mean shows another, or none, are named after it.
    """
    by_verdict: dict[str, list[str]] = {}
    for name, differences in metrics.against.items():
        comparison = differences.mean.comparison
        if found := tested_verdict(differences.mean):
            baseline = BASELINES.get(name, name)
            if found == NOT_AFTER_HOLM:
                baseline += f" (p {p_value(differences.mean.p_holm)})"
            elif found in _SHOWN and len(comparison.sites) > 1 and not _sites_that_show(differences, found):
                baseline += " (no single site shows it)"
            by_verdict.setdefault(found, []).append(baseline)
    if not metrics.against:
        return "The federated model was not compared with baselines (local, centralized)."
    averaged = any(len(differences.mean.comparison.sites) > 1 for differences in metrics.against.values())
    where = "On average over the sites" if averaged else "On the same test people"
    if not by_verdict:
        tied = [BASELINES.get(name, name) for name, of in metrics.against.items() if tie(of.mean.comparison.difference)]
        equal = f"{where}, the federated model is neither better nor worse than {' and '.join(tied)}."
        return equal if tied else "The difference from the baselines cannot be estimated."
    parts = [
        f"the federated model is {key} than {' and '.join(by_verdict[key])}" for key in _SHOWN if key in by_verdict
    ]
    if alike := by_verdict.get(NOT_SHOWN):
        intervals = "the 95% CI includes 0" if len(alike) == 1 else "their 95% CIs include 0"
        model = "it" if parts else "the federated model"
        parts.append(f"no difference was shown between {model} and {' or '.join(alike)} ({intervals})")
    if unsure := by_verdict.get(NOT_AFTER_HOLM):
        model = "it" if parts else "the federated model"
        parts.append(f"a difference between {model} and {' or '.join(unsure)} is {NOT_AFTER_HOLM}")
    text = f"{where}, {'; '.join(parts)}."
    if not by_verdict.keys() & {*_SHOWN}:
        text += " None of these models is shown to be best."
    text += "".join(_sites_sentences(metrics.against))
    if any(differences.mean.comparison.lower_is_better for differences in metrics.against.values()):
        text += " A difference below 0 means a smaller error of the federated model."
    return text


def _sites_that_show(differences: AgainstBaseline, found: str) -> list[str]:
    """Return the sites whose own difference has this verdict."""
    return [site for site, tested in differences.sites.items() if tested_verdict(tested) == found]


def _sites_sentences(against: Mapping[str, AgainstBaseline]) -> Iterator[str]:
    """Name the sites whose own difference is shown where the mean over sites shows another, or none."""
    for name, differences in against.items():
        if len(differences.mean.comparison.sites) < 2:
            continue
        for found in _SHOWN:
            sites = _sites_that_show(differences, found)
            if sites and tested_verdict(differences.mean) != found:
                baseline = _OF_ONE_SITE.get(name, BASELINES.get(name, name))
                yield f" At {' and '.join(sites)}, the federated model is {found} than {baseline}."


def calibration_words(calibration: Calibration, names: ClassNames) -> str:
    """Say what slope and intercept mean for the probabilities: `overconfident (slope 0.51, 95% CI 0.30–0.72)`."""
    slope, intercept = calibration.slope, calibration.intercept
    parts = [_slope_words(slope)]
    if intercept.limits is not None:
        _, low, high = intercept.limits
        if low > 0 or high < 0:
            side = "low" if low > 0 else "high"
            parts.append(f"probabilities of {names.positive} too {side} overall (intercept {_numbers(intercept)})")
    return "; ".join(parts)


def _is_off(calibration: Calibration) -> bool:
    """Return whether the interval of the slope excludes 1, or that of the intercept 0."""
    expected = ((calibration.slope, 1), (calibration.intercept, 0))
    return any(found.limits is not None and not found.limits[1] <= at <= found.limits[2] for found, at in expected)


def _slope_words(slope: Estimate) -> str:
    if slope.limits is None:
        return f"not measured ({slope.undefined})"
    _, low, high = slope.limits
    if high < 1:
        return f"overconfident, probabilities too extreme (slope {_numbers(slope)})"
    if low > 1:
        return f"underconfident, probabilities not extreme enough (slope {_numbers(slope)})"
    if high - low > WIDE:
        return f"too few people to tell whether the model is over- or underconfident (slope {_numbers(slope)})"
    return f"no sign of over- or underconfidence (slope {_numbers(slope)})"


def _numbers(estimate: Estimate) -> str:
    assert estimate.limits is not None  # as in every caller
    digits = 2 if abs(estimate.limits[0]) < 10 else 0  # of nearly constant probabilities the slope is huge
    value, low, high = (f"{number:.{digits}f}".replace("-", "−") for number in estimate.limits)
    return f"{value}, 95% CI {low} to {high}"


def rates(test: TestMetrics, names: ClassNames) -> str:
    """State sensitivity and specificity with their counts at the threshold; empty without a threshold."""
    if test.confusion is None or test.sensitivity.limits is None or test.specificity.limits is None:
        return ""
    hits, clear = test.confusion.sensitivity, test.confusion.specificity
    return (
        f"sensitivity {of_class(hits, names.positive)}, {ci(test.sensitivity)}; "
        f"specificity {of_class(clear, names.negative)}, {ci(test.specificity)}"
    )


def new_scan_sentence(pooled: PooledMetrics | None, threshold: str, names: ClassNames) -> str:
    """Say what the model gives for a new scan, and how far it is to be taken for a probability."""
    positive, negative = names.positive, names.negative
    gives = f"the model gives the probability of {positive}"
    if pooled is not None and pooled.calibration.slope.limits is None:
        gives = f"the model gives a probability of {positive} whose calibration was not measured"
    elif pooled is not None and _is_off(pooled.calibration):
        gives = f"the model gives a probability of {positive} that is not calibrated (see Calibration)"
    if pooled is None or pooled.threshold is None:
        return f"{gives}; there is no threshold, so no class"
    return f"{gives}; {threshold} or above is classified as {positive}, below it as {negative}"
