"""Paired test of the difference in mean absolute error between two models on the same scans.

`paired_errors` runs at a site, where the scans have names; `combine_error_comparisons` runs at the server, on numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.cluster_sums import ClusterSums
from fedtune3d.evaluation.cross_validated import CORRECTED
from fedtune3d.evaluation.estimate import NO_VARIANCE, Estimate, undefined
from fedtune3d.evaluation.measure import Measure, few_people, sum_of_independent
from fedtune3d.evaluation.regression.coarse import to_half_octave, to_step
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.same_scans import require_same_scans
from fedtune3d.evaluation.scan_rows import in_scan_order

PAIRED = "paired difference of absolute errors, people as clusters"
MEAN = "mean over sites of the paired differences, degrees of freedom of Satterthwaite (1946)"
EQUAL = "both models are equally far off at every scan, so the difference has no variance"


@dataclass(frozen=True)
class ErrorComparison:
    """The first model's mean absolute error minus the second's, so that below 0 the first is better.

    Attributes:
        first: Mean absolute error of the first model; None without scans.
        second: That of the second.
        difference: The difference with its 95% CI.
        variance: Its variance; None if it is undefined.
        degrees: Degrees of freedom of the variance.
        p_value: Two-sided, from Student's t.
        scans: Number of scans.
        sites: The sites behind a mean; empty for one site.
    """

    lower_is_better: ClassVar[bool] = True

    first: float | None
    second: float | None
    difference: Estimate
    variance: float | None
    degrees: float | None
    p_value: float | None
    scans: int
    sites: tuple[str, ...] = ()


def paired_errors(first: NumberPredictions, second: NumberPredictions, step: float = 0.0) -> ErrorComparison:
    """Compare two models on identical scans, with rows in any order.

    With one scan per person, this is the paired t test of absolute errors.

    Args:
        first: The first model's predictions.
        second: The second's.
        step: To what the sums of absolute errors are rounded (`coarse`); 0 for exact ones.

    Raises:
        InputError: If the two differ in scans or true numbers.
    """
    first, errors = _paired(first, second)
    if not len(first):
        return ErrorComparison(None, None, undefined("no test scans"), None, None, None, 0)
    one, other = (to_step(float(part.sum()), step) / len(first) for part in errors)
    measure = ClusterSums.of(errors[0] - errors[1], first.participant_codes()).measure
    if measure is None:
        return ErrorComparison(one, other, undefined("fewer than two people"), None, None, None, len(first))
    coarse = Measure(one - other, to_half_octave(measure.variance, step), measure.degrees)
    return _tested(one, other, coarse if step else measure, PAIRED, few_people(first.people), len(first))


def paired_errors_over_seeds(
    seeds: Mapping[int, tuple[NumberPredictions, NumberPredictions]], unit: str = "seed", inflation: float = 1.0
) -> ErrorComparison:
    """Compare two models over several seeds of one site: the mean over seeds of the difference of their errors.

    A person who is in the test sets of several seeds is one cluster over all of them. With the same people in every
    seed and one scan each, this is the paired t test of people's mean errors. Degrees of freedom are I (1 − 1/n) of I
    people in all and n per seed on average: I − 1 for the same people in each, I − K for K folds.

    Args:
        seeds: Seed → both models' predictions of that seed's test scans. Seeds with under two people are left out.
        unit: What `seeds` are: seeds, or folds of a cross-validation.
        inflation: Factor of the variance, for folds (`cross_validated.inflation`).
    """
    if len(seeds) == 1:
        return paired_errors(*next(iter(seeds.values())))
    means, parts, scans = [], [], 0
    for pair in seeds.values():
        first, errors = _paired(*pair)
        if first.people >= 2:
            means.append([float(part.mean()) for part in errors])
            parts.append(_influence(first, errors[0] - errors[1]))
            scans += len(first)
    if not means:
        return ErrorComparison(None, None, undefined(f"no {unit} has two people"), None, None, None, scans)
    people = sorted({person for part in parts for person in part})
    sums = np.array([sum(part.get(person, 0.0) for part in parts) for person in people]) / len(parts)
    one, other = (float(mean) for mean in np.mean(means, axis=0))
    degrees = len(people) * (1 - len(parts) / sum(map(len, parts)))
    measure = Measure(one - other, inflation * float(sums @ sums), max(1.0, degrees))
    method = f"{PAIRED} over {unit}s, mean over {len(parts)} {unit}s"
    if inflation != 1:
        method += f", {CORRECTED}"
    return _tested(one, other, measure, method, few_people(len(people)), scans)


def _influence(predictions: NumberPredictions, differences: NDArray[np.float64]) -> dict[str, float]:
    """Each person's part in the error of a mean over scans; their squares add up to the variance of `ClusterSums`."""
    deviations = differences - differences.mean()
    sums = np.bincount(predictions.participant_codes(), weights=deviations)
    scale = math.sqrt(len(sums) / (len(sums) - 1)) / len(differences)
    return dict(zip(sorted(set(predictions.participants)), (scale * sums).tolist(), strict=True))


def _paired(first: NumberPredictions, second: NumberPredictions) -> tuple[NumberPredictions, list[NDArray[np.float64]]]:
    """Return the first model's predictions in order, and both models' absolute errors."""
    first, second = in_scan_order(first), in_scan_order(second)
    require_same_scans(first, second)
    if not np.array_equal(first.truth, second.truth):
        raise InputError(
            "paired comparison: expected the same true numbers, but they differ; compare runs with the same target"
        )
    return first, [np.abs(model.errors) for model in (first, second)]


def combine_error_comparisons(comparisons: Mapping[str, ErrorComparison]) -> ErrorComparison:
    """Average the difference over sites, which count equally and are independent.

    Args:
        comparisons: Site → result of `paired_errors`. Sites with an undefined difference are left out.
    """
    usable = {site: part for site, part in sorted(comparisons.items()) if part.variance is not None}
    scans = sum(part.scans for part in usable.values())
    if not usable:
        return ErrorComparison(None, None, undefined("no site has two test people"), None, None, None, scans)
    one = math.fsum(part.first or 0.0 for part in usable.values()) / len(usable)
    other = math.fsum(part.second or 0.0 for part in usable.values()) / len(usable)
    measures = [
        Measure((part.first or 0.0) - (part.second or 0.0), part.variance or 0.0, part.degrees or 1.0)
        for part in usable.values()
    ]
    few = any(part.difference.mark for part in usable.values())
    return _tested(one, other, sum_of_independent(measures, 1 / len(usable)), MEAN, few, scans, tuple(usable))


def require_possible_comparison(comparison: ErrorComparison) -> None:
    """Check a comparison that a site sent. Raises `ValueError` if it does not follow from its own numbers."""
    first, second, variance = comparison.first, comparison.second, comparison.variance
    if any(value is not None and value < 0 for value in (first, second, variance)):
        raise ValueError(f"a comparison of mean absolute errors of {first} and {second}")
    if first is None or second is None or variance is None or comparison.degrees is None:
        return
    few = comparison.difference.mark is not None
    measure = Measure(first - second, variance, comparison.degrees)
    if not comparison.degrees >= 1:
        raise ValueError(f"a comparison with {comparison.degrees} degrees of freedom")
    expected = _tested(first, second, measure, PAIRED, few, comparison.scans)
    for sent, own in (
        (comparison.p_value, expected.p_value),
        (comparison.difference.value, expected.difference.value),
        (comparison.difference.low, expected.difference.low),
        (comparison.difference.high, expected.difference.high),
    ):
        if (sent is None) != (own is None) or (
            sent is not None and own is not None and not math.isclose(sent, own, rel_tol=1e-6, abs_tol=1e-9)
        ):
            raise ValueError(f"a comparison of mean absolute errors whose numbers do not follow ({sent}, not {own})")


def _tested(
    first: float,
    second: float,
    measure: Measure,
    method: str,
    few: bool,
    scans: int,
    sites: tuple[str, ...] = (),
) -> ErrorComparison:
    from scipy.stats import t as student

    if measure.variance == 0:
        alike = undefined(EQUAL if measure.value == 0 else NO_VARIANCE)
        return ErrorComparison(first, second, alike, 0.0, float(measure.degrees), None, scans, sites)
    p_value = float(2 * student.sf(abs(measure.value) / math.sqrt(measure.variance), measure.degrees))
    difference = measure.estimate("identity", method, few)
    return ErrorComparison(first, second, difference, measure.variance, float(measure.degrees), p_value, scans, sites)
