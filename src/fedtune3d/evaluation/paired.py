"""Paired test of the difference in AUC between two models on the same scans.

`paired_delong` runs at a site, where the scans have names; `combine_comparisons` runs at the server, on numbers only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.cross_validated import CORRECTED
from fedtune3d.evaluation.delong import clustered_variance, influence, method_name, structural_components
from fedtune3d.evaluation.estimate import FEW, NO_VARIANCE, Estimate, Z, defined, undefined
from fedtune3d.evaluation.predictions import Predictions, participants_by_class, why_undefined
from fedtune3d.evaluation.same_scans import require_same_scans
from fedtune3d.evaluation.scan_rows import in_scan_order

SAME_RANKING = "both models rank the scans equally, so the difference has no variance"


@dataclass(frozen=True)
class Comparison:
    """The first AUC minus the second. `standard_error` is None if the difference is undefined."""

    lower_is_better: ClassVar[bool] = False

    first: float | None
    second: float | None
    difference: Estimate
    standard_error: float | None
    p_value: float | None
    scans: int
    sites: tuple[str, ...]


def paired_delong(first: Predictions, second: Predictions) -> Comparison:
    """Compare two models on identical scans, with rows in any order.

    The test is two-sided, using the normal distribution of difference / standard error, with participants as clusters
    (DeLong's test with one scan per participant). If both models rank every pair of scans equally, or all scans of a
    class contribute the same difference, the standard error is 0 and there is no interval and no p-value.

    Raises:
        InputError: If the two differ in scans or labels, for example from different seeds or sites.

    References:
        DeLong, DeLong and Clarke-Pearson, 1988, Biometrics 44:837–845; Obuchowski, 1997, Biometrics 53:567–578.
    """
    first, second = (in_scan_order(predictions) for predictions in (first, second))
    _require_same_scans(first, second)
    missing = why_undefined(*np.bincount(first.labels, minlength=2))
    if missing:
        return comparison_of(None, None, undefined(missing), None, len(first))
    (first_auc, first_components), (second_auc, second_components) = (
        structural_components(part.labels, part.probabilities) for part in (first, second)
    )
    variance = clustered_variance((first_components - first_auc) - (second_components - second_auc), first)
    if variance is None:
        reason = undefined("fewer than two participants in a class")
        return comparison_of(first_auc, second_auc, reason, None, len(first))
    few = min(participants_by_class(first)) < FEW
    error = math.sqrt(variance)
    difference = difference_of(first_auc - second_auc, error, f"paired, {method_name(first)}", few)
    return comparison_of(first_auc, second_auc, difference, error, len(first))


def combine_comparisons(comparisons: Mapping[str, Comparison]) -> Comparison:
    """Average the difference over sites, which count equally and are independent.

    Args:
        comparisons: Site → result of `paired_delong`. Sites with an undefined AUC are left out.

    Returns:
        A comparison of the mean AUCs, with the names of the sites used.
    """
    usable = {
        site: comparison
        for site, comparison in sorted(comparisons.items())
        if comparison.first is not None and comparison.standard_error is not None
    }
    scans = sum(comparison.scans for comparison in usable.values())
    if not usable:
        return comparison_of(None, None, undefined("no site has two test people of each class"), None, scans)
    first = float(np.mean([comparison.first for comparison in usable.values()]))
    second = float(np.mean([comparison.second for comparison in usable.values()]))
    error = math.hypot(*(comparison.standard_error or 0.0 for comparison in usable.values())) / len(usable)
    few = any(comparison.difference.mark for comparison in usable.values())
    difference = difference_of(first - second, error, "mean over sites of the paired differences, normal interval", few)
    return comparison_of(first, second, difference, error, scans, tuple(usable))


@dataclass(frozen=True)
class PairedPart:
    """The difference between two models in the test scans of one seed or fold.

    Attributes:
        aucs: The AUCs of both models.
        influence: Person → their part in the error of the difference.
        few: Whether a class has few people.
        scans: Number of scans.
    """

    aucs: tuple[float, float]
    influence: Mapping[str, float]
    few: bool
    scans: int


def paired_over_seeds(
    seeds: Mapping[int, tuple[Predictions, Predictions]], unit: str = "seed", inflation: float = 1.0
) -> Comparison:
    """Compare two models over several seeds of one site: the mean over seeds of the difference of their AUCs.

    A person who is in the test sets of several seeds is one cluster over all of them, so overlapping test sets add no
    certainty that is not there. The models of each seed are taken as given.

    Args:
        seeds: Seed → both models' predictions of that seed's test scans. Seeds without an AUC are left out.
        unit: What `seeds` are: seeds, or folds of a cross-validation.
        inflation: Factor of the variance, for folds (`cross_validated.inflation`).

    References:
        Obuchowski, 1997, Biometrics 53:567–578, for the clusters; the sum over seeds is linear in the same components.
    """
    if len(seeds) == 1:
        return paired_delong(*next(iter(seeds.values())))
    parts = [part for pair in seeds.values() if (part := _part(*pair)) is not None]
    return compare_over(parts, "paired", unit, inflation)


def compare_over(parts: Sequence[PairedPart], method: str, unit: str, inflation: float) -> Comparison:
    """Average the differences of seeds or folds, with people as clusters over them.

    Args:
        parts: Those that have both AUCs.
        method: The beginning of the method's name.
        unit: As in `paired_over_seeds`, as is `inflation`.
        inflation: Factor of the variance.
    """
    if not parts:
        return comparison_of(None, None, undefined(f"no {unit} has two test people of each class"), None, 0)
    people = sorted({person for part in parts for person in part.influence})
    sums = np.array([sum(part.influence.get(person, 0.0) for part in parts) for person in people]) / len(parts)
    error = math.sqrt(inflation * float(sums @ sums))
    one, other = (float(mean) for mean in np.mean([part.aucs for part in parts], axis=0))
    method += f", mean over {len(parts)} {unit}s, participants as clusters over {unit}s, normal interval"
    if inflation != 1:
        method += f", {CORRECTED}"
    few, scans = any(part.few for part in parts), sum(part.scans for part in parts)
    return comparison_of(one, other, difference_of(one - other, error, method, few), error, scans)


def _part(first: Predictions, second: Predictions) -> PairedPart | None:
    """Compare two models on the scans of a seed or fold; None with fewer than two participants in a class."""
    first, second = in_scan_order(first), in_scan_order(second)
    _require_same_scans(first, second)
    if why_undefined(*np.bincount(first.labels, minlength=2)) or min(participants_by_class(first)) < 2:
        return None
    both = [structural_components(part.labels, part.probabilities) for part in (first, second)]
    return PairedPart(
        aucs=(both[0][0], both[1][0]),
        influence=influence((both[0][1] - both[0][0]) - (both[1][1] - both[1][0]), first),
        few=min(participants_by_class(first)) < FEW,
        scans=len(first),
    )


def require_possible(comparison: Comparison) -> None:
    """Check a comparison that a site sent. Raises `ValueError` if its numbers are impossible."""
    aucs, error, p_value = (comparison.first, comparison.second), comparison.standard_error, comparison.p_value
    if any(auc is not None and not 0 <= auc <= 1 for auc in aucs) or (error is not None and not 0 <= error <= 1):
        raise ValueError(f"a comparison of the AUCs {aucs} with a standard error of {error}")
    if None not in (*aucs, error) and comparison != _retested(comparison):
        raise ValueError(f"a comparison of the AUCs {aucs} whose difference or p-value ({p_value}) does not follow")


def _retested(comparison: Comparison) -> Comparison:
    """The comparison as it follows from its AUCs and standard error."""
    first, second, error = comparison.first, comparison.second, comparison.standard_error
    assert first is not None
    assert second is not None
    assert error is not None
    sent = comparison.difference
    difference = difference_of(first - second, error, sent.method, few=sent.mark is not None)
    return comparison_of(first, second, difference, error, comparison.scans, comparison.sites)


def difference_of(value: float, error: float, method: str, few: bool) -> Estimate:
    """Estimate a difference of two AUCs with its normal interval; undefined without a standard error."""
    if error == 0:
        return undefined(SAME_RANKING if value == 0 else NO_VARIANCE)
    return defined(value, (max(-1.0, value - Z * error), min(1.0, value + Z * error)), method, few)


def comparison_of(
    first: float | None,
    second: float | None,
    difference: Estimate,
    error: float | None,
    scans: int,
    sites: tuple[str, ...] = (),
) -> Comparison:
    """Create a comparison with its two-sided p-value from the normal distribution."""
    from scipy.stats import norm

    value = difference.value
    return Comparison(
        first=first,
        second=second,
        difference=difference,
        standard_error=error,
        p_value=None if value is None or not error else float(2 * norm.sf(abs(value) / error)),
        scans=scans,
        sites=sites,
    )


def _require_same_scans(first: Predictions, second: Predictions) -> None:
    require_same_scans(first, second)
    if not np.array_equal(first.labels, second.labels):
        raise InputError(
            "paired comparison: expected the same labels, but they differ; compare runs with the same labels"
        )
