"""AUCs of several classes: of each against the rest, their macro average, and Hand and Till's M over pairs."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.auc_estimate import score_method
from fedtune3d.evaluation.auc_interval import auc_interval
from fedtune3d.evaluation.delong import structural_components
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.mean_auc import MeanAuc, PlacedAuc, mean_auc, no_mean_auc
from fedtune3d.evaluation.predictions import Predictions, why_undefined

ONE_VS_REST = "the one-vs-rest AUCs"
PAIRS = "the pairwise AUCs"


def one_vs_rest(predictions: ClassPredictions, of: int) -> Estimate:
    """Estimate the AUC of class `of` against all others, with its score interval (`auc_interval.auc_interval`)."""
    binary = predictions.one_vs_rest(of)
    missing = why_undefined(*np.bincount(binary.labels, minlength=2))
    if missing:
        return undefined(why_missing(predictions.scans_by_class) or missing)
    placed = _placed(binary)
    people = placed.variance.negatives, placed.variance.positives
    return defined(placed.auc, auc_interval(placed.auc, placed.variance), score_method(binary), min(people) < FEW)


def macro_auc(predictions: ClassPredictions) -> MeanAuc:
    """Estimate the plain mean of the one-vs-rest AUCs; undefined if a class has no scan.

    References:
        Fawcett, 2006, Pattern Recognit. Lett. 27:861–874, section 9, with equal weights.
    """
    if missing := _why_no_mean(predictions):
        return no_mean_auc(missing)
    parts = [_placed(predictions.one_vs_rest(of)) for of in range(predictions.classes)]
    return mean_auc(parts, ONE_VS_REST, _repeated(predictions))


def hand_till(predictions: ClassPredictions) -> MeanAuc:
    """Estimate Hand and Till's M: the mean over pairs of classes of A(i, j) = (A(i|j) + A(j|i)) / 2.

    A(i|j) is the probability that a random scan of class j has a lower probability of class i than one of class i.
    Undefined if a class has no scan.

    References:
        Hand and Till, 2001, Mach. Learn. 45:171–186, eqs. 3 and 7.
    """
    if missing := _why_no_mean(predictions):
        return no_mean_auc(missing)
    parts = [_pair(predictions, *pair) for pair in combinations(range(predictions.classes), 2)]
    return mean_auc(parts, PAIRS, _repeated(predictions))


def why_missing(scans_by_class: tuple[int, ...]) -> str | None:
    """Return why there is no AUC over all classes with so many test scans of each; None if there is one."""
    if not any(scans_by_class):
        return "no test scans, or too few for the policy"
    missing = sum(scans == 0 for scans in scans_by_class)
    return None if not missing else f"{missing} of {len(scans_by_class)} classes without test scans"


def _why_no_mean(predictions: ClassPredictions) -> str | None:
    return why_missing(predictions.scans_by_class)


def _placed(binary: Predictions) -> PlacedAuc:
    return PlacedAuc.of(*structural_components(binary.labels, binary.probabilities), binary)


def _pair(predictions: ClassPredictions, first: int, second: int) -> PlacedAuc:
    """A(first, second), with each scan's placement averaged over both probabilities."""
    own = predictions.one_vs_one(first, second)
    other = predictions.one_vs_one(second, first)
    placed = [structural_components(part.labels, part.probabilities) for part in (own, other)]
    placements: NDArray[np.float64] = (placed[0][1] + placed[1][1]) / 2
    return PlacedAuc.of((placed[0][0] + placed[1][0]) / 2, placements, own)


def _repeated(predictions: ClassPredictions) -> bool:
    return len(set(predictions.participants)) < len(predictions)
