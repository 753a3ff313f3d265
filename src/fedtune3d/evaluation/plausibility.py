"""Bounds on a site's statistics from its counts: a summary that contradicts its own counts is refused.

The server has a site's scans as counts on a grid, never as probabilities. From them follow the AUC up to the pairs that
share a bin, the Brier score up to the width of the bins, and roughly how wide an interval is.
"""

import math

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.auc import area_under_curve, auc_from_counts
from fedtune3d.evaluation.auc_estimate import BOOTSTRAP, NEWCOMBE, variance_of
from fedtune3d.evaluation.auc_interval import PRIOR_PEOPLE, SCORE, auc_interval, newcombe, shrunken_variance
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.delong import DELONG, OBUCHOWSKI, auc_and_variance_from_counts, delong_from_counts
from fedtune3d.evaluation.estimate import FEW, Estimate
from fedtune3d.evaluation.grid import EDGES, auc_error_bound
from fedtune3d.evaluation.paired import combine_comparisons
from fedtune3d.evaluation.subgroups import require_possible_axis
from fedtune3d.evaluation.summary import TestSummary

ROUNDING = 1e-9
SCORE_METHODS = tuple(SCORE.format(variance=name) for name in ("DeLong", "Obuchowski"))
WIDER, SLACK = 5.0, 0.05
"""How many times wider or narrower than DeLong's interval from the counts an interval may be, and by how much more:
people with several scans, ties and resampling move it by less."""


def require_plausible(checked: CheckedSummary) -> None:
    """Check a summary's numbers of people, estimates and groups against its counts of test scans.

    Raises:
        ValueError: If a number is impossible, with the first such number.
    """
    test, counts = checked.test, checked.test_counts
    _require_people(test.participants, test.participants_by_class, counts)
    _require_auc(checked)
    _require_delong(test, counts)
    _require_calibration(test, counts)
    _require_groups(test, counts)
    _require_comparison(test)


def require_ordered(estimate: Estimate, what: str, low: float, high: float) -> None:
    """Check that an estimate is complete and within a range, or gives the reason why it is undefined.

    A percentile interval may miss the value by a little, so it need not hold it.

    Raises:
        ValueError: Naming `what`.
    """
    given = (estimate.value, estimate.low, estimate.high)
    if estimate.limits is None:
        if any(number is not None for number in given) or not estimate.undefined:
            raise ValueError(f"{what}: neither a number with an interval nor a reason why there is none")
        return
    value, lower, upper = estimate.limits
    width = upper - lower + SLACK
    if not (low <= lower <= upper <= high and low <= value <= high and lower - width <= value <= upper + width):
        raise ValueError(f"{what}: expected an interval from {low:g} to {high:g} around its value")


def _require_people(people: int, by_class: tuple[int, int], counts: NDArray[np.int64]) -> None:
    scans = [int(total) for total in counts.sum(axis=1)]
    for of_class, of_scans in zip(by_class, scans, strict=True):
        if not min(of_scans, 1) <= of_class <= of_scans:
            raise ValueError(f"{of_class} people of a class with {of_scans} scans")
    if not max(by_class) <= people <= sum(by_class):
        raise ValueError(f"{people} people, of the classes {by_class[0]} and {by_class[1]}")


def _require_auc(checked: CheckedSummary) -> None:
    test, counts = checked.test, checked.test_counts
    require_ordered(test.auc, "AUC", 0, 1)
    if not counts.any(axis=1).all():
        _require_undefined(test.auc, "AUC")
        if test.auc_variance_ratio is not None:
            raise ValueError("a ratio of the AUC's variances without an AUC")
        return
    if test.auc.value is None or test.auc.low is None or test.auc.high is None:
        raise ValueError("no AUC, although there are scans of both classes")
    _require_near_grid(test.auc.value, counts, "AUC")
    if checked.predictions is not None:
        exact = area_under_curve(checked.predictions.labels, checked.predictions.probabilities)
        if abs(exact - test.auc.value) > ROUNDING:
            raise ValueError(f"an AUC of {test.auc.value:g}, where the predictions give {exact:g}")
    if test.auc.method in SCORE_METHODS:
        _require_score_interval(checked, test.auc.value, (test.auc.low, test.auc.high))
    elif min(test.participants_by_class) < FEW or test.auc.value in (0, 1):
        expected = newcombe(test.auc.value, *test.participants_by_class)
        if test.auc.method != NEWCOMBE or not np.allclose(expected, (test.auc.low, test.auc.high), atol=ROUNDING):
            raise ValueError("the interval of the AUC is not the one that follows from so few people")
    elif test.auc.method != BOOTSTRAP:
        raise ValueError(f"an interval of the AUC by no method known here: {test.auc.method!r}")
    else:
        _require_width(test.auc, test, counts, "AUC")
    _require_ratio(checked)


def _require_score_interval(checked: CheckedSummary, value: float, limits: tuple[float, float]) -> None:
    """The interval follows from the AUC, the people of each class and the ratio of variances."""
    if checked.auc_variance is None:
        raise ValueError("a score interval of the AUC without the ratio of its variances")
    if not np.allclose(auc_interval(value, checked.auc_variance), limits, atol=ROUNDING):
        raise ValueError("the interval of the AUC is not the one that follows from its variance")


def _require_ratio(checked: CheckedSummary) -> None:
    """Compare the ratio of variances with that of the counts, or of the predictions if these were sent."""
    ratio, counts = checked.test.auc_variance_ratio, checked.test_counts
    if ratio is None:
        return
    if checked.predictions is not None:
        exact = variance_of(checked.predictions)
        if exact is None or not math.isclose(ratio, exact.ratio, rel_tol=1e-6):
            raise ValueError("the ratio of the AUC's variances is not that of the predictions")
    auc, variance = auc_and_variance_from_counts(counts[0], counts[1], checked.test.participants_by_class)
    reference = shrunken_variance(auc, variance, *checked.test.participants_by_class).ratio
    least = PRIOR_PEOPLE / (min(checked.test.participants_by_class) - 1 + PRIOR_PEOPLE)
    if not least - ROUNDING <= ratio <= WIDER**2 * reference + SLACK:
        raise ValueError(f"a ratio of the AUC's variances of {ratio:g}, where the counts give about {reference:.2g}")


def _require_delong(test: TestSummary, counts: NDArray[np.int64]) -> None:
    require_ordered(test.auc_delong, "AUC (DeLong)", 0, 1)
    if test.auc_delong.value is None:
        return
    if not counts.any(axis=1).all() or min(test.participants_by_class) < 2:
        _require_undefined(test.auc_delong, "AUC (DeLong)")
    if test.auc_delong.method not in (DELONG, OBUCHOWSKI):
        raise ValueError(f"an interval of the AUC by no method known here: {test.auc_delong.method!r}")
    _require_near_grid(test.auc_delong.value, counts, "AUC (DeLong)")
    _require_width(test.auc_delong, test, counts, "AUC (DeLong)")


def _require_undefined(estimate: Estimate, what: str) -> None:
    if estimate.value is not None:
        raise ValueError(f"{what}: a number, although too few people or scans are behind it")


def _require_near_grid(value: float, counts: NDArray[np.int64], what: str) -> None:
    on_grid, bound = float(auc_from_counts(*counts)), auc_error_bound(*counts)
    if abs(value - on_grid) > bound + ROUNDING:
        raise ValueError(f"{what}: {value:g}, where the counts give {on_grid:g} ± {bound:.2g}")


def _require_width(estimate: Estimate, test: TestSummary, counts: NDArray[np.int64], what: str) -> None:
    """Compare the half-widths with those of DeLong's interval from the counts, up to the pairs that share a bin."""
    reference = delong_from_counts(counts[0], counts[1], test.participants_by_class)
    if estimate.limits is None or reference.limits is None:
        return
    value, low, high = estimate.limits
    slack = SLACK + auc_error_bound(*counts)
    wide = max(reference.limits[0] - reference.limits[1], reference.limits[2] - reference.limits[0])
    if max(value - low, high - value) > WIDER * wide + slack or high - low < wide / WIDER - auc_error_bound(*counts):
        raise ValueError(f"{what}: an interval of {low:g} to {high:g}, where the counts give about ± {wide:.2g}")


def _require_calibration(test: TestSummary, counts: NDArray[np.int64]) -> None:
    calibration = test.calibration
    for what, estimate in (("slope", calibration.slope), ("intercept", calibration.intercept)):
        require_ordered(estimate, f"calibration {what}", -1e100, 1e100)
    require_ordered(calibration.brier, "Brier score", -1, 2)
    for share in (calibration.error.value, calibration.error.if_calibrated):
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"calibration error: expected a share, got {share:g}")
    if calibration.brier.value is not None:
        low, high = brier_bounds(counts)
        if not low - ROUNDING <= calibration.brier.value <= high + ROUNDING:
            raise ValueError(f"a Brier score of {calibration.brier.value:g}, where the counts give {low:g} to {high:g}")


def brier_bounds(counts: NDArray[np.int64]) -> tuple[float, float]:
    """The smallest and the greatest Brier score of probabilities that have these (2, BINS) counts; (0, 1) of none.

    Scans may be counted near their own bin (`federation/privacy/bins.py`), but never beyond the next bin in use.
    """
    used = np.flatnonzero(counts.any(axis=0))
    if not len(used):
        return 0.0, 1.0
    lower, upper = np.concatenate([[0.0], EDGES[used[:-1]]]), np.concatenate([EDGES[used[1:] - 1], [1.0]])
    negative, positive = counts[:, used]
    least = negative @ lower**2 + positive @ (1 - upper) ** 2
    most = negative @ upper**2 + positive @ (1 - lower) ** 2
    return float(least / counts.sum()), float(most / counts.sum())


def _require_groups(test: TestSummary, counts: NDArray[np.int64]) -> None:
    for axis, part in test.groups.items():
        require_possible_axis(axis, len(part.groups), part.held_back)
        total = np.zeros(2, np.int64)
        for group in part.groups.values():
            of_group = group.counts.dense()
            scans = of_group.sum(axis=1)
            if any(not 0 <= people <= of for people, of in zip(group.participants_by_class, scans, strict=True)):
                raise ValueError(f"groups along {axis}: more people than scans")
            total += scans
        if (total > counts.sum(axis=1)).any():
            raise ValueError(f"groups along {axis}: more scans than the test set has")


def _require_comparison(test: TestSummary) -> None:
    """The comparison with the federated model ends in this AUC, and its p-value follows from its standard error."""
    given = test.against_federated
    if given is None:
        return
    for auc in (given.first, given.second):
        if auc is not None and not 0 <= auc <= 1:
            raise ValueError(f"a comparison of an AUC of {auc:g}")
    if given.standard_error is not None and not 0 <= given.standard_error <= 1:
        raise ValueError(f"a comparison with a standard error of {given.standard_error:g}")
    if (given.first is None) != (given.second is None):
        raise ValueError("a comparison of one AUC")
    if given.second is not None and (test.auc.value is None or abs(given.second - test.auc.value) > ROUNDING):
        raise ValueError("a comparison with another AUC than this one's")
    follows = combine_comparisons({"": given}).p_value
    if given.p_value is not None and (follows is None or not math.isclose(given.p_value, follows, abs_tol=1e-6)):
        raise ValueError("a p-value that does not follow from its difference and standard error")
