"""Paired test of the difference in macro AUC between two models of several classes on the same scans."""

import math

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.delong import clustered_variance, influence, structural_components
from fedtune3d.evaluation.estimate import FEW, undefined
from fedtune3d.evaluation.multiclass.class_auc import why_missing
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.paired import Comparison, comparison_of, difference_of
from fedtune3d.evaluation.same_scans import require_same_scans, scan_order

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
    first, second = _in_order(first), _in_order(second)
    require_same_scans(first, second)
    if not np.array_equal(first.truth, second.truth) or first.classes != second.classes:
        raise InputError(
            "paired comparison: expected the same classes, but they differ; compare runs with the same labels"
        )
    if missing := why_missing(first.scans_by_class):
        return comparison_of(None, None, undefined(missing), None, len(first))
    aucs, parts = [], []
    for of in range(first.classes):
        binary = [model.one_vs_rest(of) for model in (first, second)]
        placed = [structural_components(part.labels, part.probabilities) for part in binary]
        aucs.append([auc for auc, _ in placed])
        deviations = (placed[0][1] - placed[0][0]) - (placed[1][1] - placed[1][0])
        parts.append(None if clustered_variance(deviations, binary[0]) is None else influence(deviations, binary[0]))
    one, other = (float(mean) for mean in np.mean(aucs, axis=0))
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return comparison_of(one, other, undefined("fewer than two participants in a class"), None, len(first))
    people = sorted(known[0])
    error = math.hypot(*(sum(part[person] for part in known) / len(known) for person in people))
    few = min(first.participants_by_class) < FEW
    return comparison_of(one, other, difference_of(one - other, error, METHOD, few), error, len(first))


def _in_order(predictions: ClassPredictions) -> ClassPredictions:
    order = scan_order(predictions)
    return ClassPredictions(
        tuple(predictions.participants[row] for row in order),
        tuple(predictions.sessions[row] for row in order),
        predictions.truth[order],
        predictions.probabilities[order],
    )
