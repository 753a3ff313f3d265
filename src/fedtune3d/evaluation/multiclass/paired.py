"""Paired test of the difference in macro AUC between two models of several classes on the same scans."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.delong import clustered_variance, influence, structural_components
from fedtune3d.evaluation.estimate import FEW, undefined
from fedtune3d.evaluation.multiclass.class_auc import why_missing
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.paired import Comparison, PairedPart, compare_over, comparison_of, difference_of
from fedtune3d.evaluation.same_scans import require_same_scans
from fedtune3d.evaluation.scan_rows import in_scan_order

METHOD = "paired, mean of the one-vs-rest differences, participants as clusters, normal interval"


def paired_macro_auc(first: ClassPredictions, second: ClassPredictions) -> Comparison:
    """Compare the macro AUCs of two models on identical scans, with rows in any order.

    A person's part in the error of the difference is the mean over classes of their parts in the errors of the classes'
    differences (`paired.paired_delong`). The test is two-sided and normal.

    Raises:
        InputError: If the two differ in scans or classes.

    References:
        DeLong, DeLong and Clarke-Pearson, 1988, Biometrics 44:837–845; Obuchowski, 1997, Biometrics 53:567–578. The sum
        over classes is linear in the same components.
    """
    first, second = in_scan_order(first), in_scan_order(second)
    _require_same(first, second)
    if missing := why_missing(first.scans_by_class):
        return comparison_of(None, None, undefined(missing), None, len(first))
    aucs, parts = _differences(first, second)
    one, other = (float(mean) for mean in np.mean(aucs, axis=0))
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return comparison_of(one, other, undefined("fewer than two participants in a class"), None, len(first))
    error = math.hypot(*_mean_influence(known).values())
    few = min(first.participants_by_class) < FEW
    return comparison_of(one, other, difference_of(one - other, error, METHOD, few), error, len(first))


def paired_macro_auc_over_seeds(
    seeds: Mapping[int, tuple[ClassPredictions, ClassPredictions]], unit: str = "seed", inflation: float = 1.0
) -> Comparison:
    """Compare the macro AUCs of two models over several seeds of one site.

    Arguments, clusters and references as `paired.paired_over_seeds`.
    """
    if len(seeds) == 1:
        return paired_macro_auc(*next(iter(seeds.values())))
    parts = [part for pair in seeds.values() if (part := _part(*pair)) is not None]
    return compare_over(parts, "paired, mean of the one-vs-rest differences", unit, inflation)


def _part(first: ClassPredictions, second: ClassPredictions) -> PairedPart | None:
    """Compare two models on the scans of a seed or fold; None with fewer than two participants in a class."""
    first, second = in_scan_order(first), in_scan_order(second)
    _require_same(first, second)
    if why_missing(first.scans_by_class):
        return None
    aucs, parts = _differences(first, second)
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    one, other = (float(mean) for mean in np.mean(aucs, axis=0))
    few = min(first.participants_by_class) < FEW
    return PairedPart((one, other), _mean_influence(known), few, len(first))


def _require_same(first: ClassPredictions, second: ClassPredictions) -> None:
    require_same_scans(first, second)
    if not np.array_equal(first.truth, second.truth) or first.classes != second.classes:
        raise InputError(
            "paired comparison: expected the same classes, but they differ; compare runs with the same labels"
        )


def _differences(
    first: ClassPredictions, second: ClassPredictions
) -> tuple[list[list[float]], list[dict[str, float] | None]]:
    """Both models' AUC of each class, and each person's part in the error of their difference."""
    aucs, parts = [], []
    for of in range(first.classes):
        binary = [model.one_vs_rest(of) for model in (first, second)]
        placed = [structural_components(part.labels, part.probabilities) for part in binary]
        aucs.append([auc for auc, _ in placed])
        deviations = (placed[0][1] - placed[0][0]) - (placed[1][1] - placed[1][0])
        parts.append(None if clustered_variance(deviations, binary[0]) is None else influence(deviations, binary[0]))
    return aucs, parts


def _mean_influence(known: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each person's part in the error of the mean over classes."""
    return {person: sum(part[person] for part in known) / len(known) for person in sorted(known[0])}
