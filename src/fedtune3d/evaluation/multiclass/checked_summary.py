"""A site's summary of several classes at the server: checked for consistency, with its counts as arrays."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.cluster_sums import require_possible_sums
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.grid import GRID
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.confusion_matrix import ConfusionMatrix, require_possible_matrix
from fedtune3d.evaluation.multiclass.groups import require_possible_class_groups
from fedtune3d.evaluation.multiclass.losses import GREATEST_BRIER, GREATEST_LOG_LOSS
from fedtune3d.evaluation.multiclass.mean_auc import MeanAuc
from fedtune3d.evaluation.multiclass.score_counts import dense_scores, score_counts
from fedtune3d.evaluation.multiclass.summary import VERSION, ClassSummary
from fedtune3d.evaluation.paired import require_possible

ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class CheckedClassSummary:
    """A summary with consistent counts.

    Attributes:
        sent: The summary, as sent.
        scores: (C, C, BINS) int64 scans by probability of each class, true class and bin.
        top_label: (2, BINS) int64 scans by probability of the predicted class, wrong ones first; None if held back.
        predictions: The test predictions; None if they stay at the site.
    """

    sent: ClassSummary
    scores: NDArray[np.int64]
    top_label: NDArray[np.int64] | None
    predictions: ClassPredictions | None

    @property
    def scans(self) -> int:
        """Number of test scans."""
        return self.sent.scans

    @classmethod
    def of(cls, site: str, summary: ClassSummary, classes: tuple[str, ...]) -> Self:
        """Check the summary that a site sent.

        Raises:
            InputError: If it is of another version, grid or list of classes, or its numbers are inconsistent, with the
                site's name.
        """
        if (summary.version, summary.grid, summary.classes) != (VERSION, GRID, classes):
            raise InputError(
                f"summary of site {site}: expected version {VERSION} of {', '.join(classes)} on {GRID}, got version "
                f"{summary.version} of {', '.join(summary.classes)} on {summary.grid}; run the same fedtune3d and "
                "configuration at all sites"
            )
        try:
            return cls._checked(summary)
        except ValueError as error:
            raise InputError(f"summary of site {site}: {error}; evaluate again") from error

    @classmethod
    def _checked(cls, summary: ClassSummary) -> Self:
        classes = len(summary.classes)
        if {len(summary.participants_by_class), len(summary.scans_by_class), len(summary.one_vs_rest)} != {classes}:
            raise ValueError(f"expected the numbers of {classes} classes")
        for people, scans in zip(summary.participants_by_class, summary.scans_by_class, strict=True):
            if not min(scans, 1) <= people <= scans:
                raise ValueError(f"{people} people of a class with {scans} scans")
        most = sum(summary.participants_by_class)
        if not max(summary.participants_by_class) <= summary.participants <= most:
            raise ValueError(f"{summary.participants} people, of the classes {summary.participants_by_class}")
        scores = dense_scores(summary.scores)
        if scores.shape[0] != classes or (scores.sum(axis=2) != np.array(summary.scans_by_class)).any():
            raise ValueError(f"{summary.scans_by_class} scans by class, but other counts of probabilities")
        require_possible_matrix(summary.confusion, summary.scans_by_class)
        top_label = _top_label(summary)
        both = summary.participants, summary.scans
        require_possible_sums(summary.log_loss, *both, 0.0, GREATEST_LOG_LOSS)
        require_possible_sums(summary.brier, *both, 0.0, GREATEST_BRIER)
        for auc in summary.one_vs_rest:
            _require_auc(auc)
        _require_mean(summary.macro_auc, classes)
        _require_mean(summary.hand_till, classes * (classes - 1) // 2)
        require_possible_class_groups(summary.groups, summary.scans_by_class)
        if summary.against_federated is not None:
            require_possible(summary.against_federated)
        predictions = None if summary.predictions is None else summary.predictions.predictions(classes)
        if predictions is not None:
            _require_those_counts(predictions, summary)
        return cls(summary, scores, top_label, predictions)


def _top_label(summary: ClassSummary) -> NDArray[np.int64] | None:
    if summary.top_label is None:
        return None
    counts: NDArray[np.int64] = summary.top_label.dense()
    right = summary.confusion.right()
    if int(counts.sum()) != summary.scans or right is None or int(counts[1].sum()) != right.count:
        raise ValueError("the counts of predicted classes and the confusion matrix disagree")
    return counts


def _require_auc(estimate: Estimate) -> None:
    if estimate.limits is None:
        if estimate.undefined is None:
            raise ValueError("an AUC without a value, and without a reason why there is none")
        return
    value, low, high = estimate.limits
    if not -ROUNDING <= low <= value + ROUNDING or not value - ROUNDING <= high <= 1 + ROUNDING:
        raise ValueError(f"an AUC of {value:g} from {low:g} to {high:g}")


def _require_mean(mean: MeanAuc, parts: int) -> None:
    _require_auc(mean.estimate)
    if (mean.variance is None) != (mean.estimate.value is None):
        raise ValueError("a mean AUC without its variance, or a variance without it")
    if mean.variance is None:
        return
    matrix = np.array(mean.variance.correlations)
    if len(mean.variance.parts) != parts or matrix.shape != (parts, parts):
        raise ValueError(f"the variance of a mean of {len(mean.variance.parts)} AUCs, not of {parts}")
    if not (np.abs(matrix) <= 1).all() or not np.array_equal(matrix, matrix.T) or (np.diag(matrix) != 1).any():
        raise ValueError("correlations of AUCs that are none")
    if any(not 0 < part.ratio < math.inf or min(part.negatives, part.positives) < 1 for part in mean.variance.parts):
        raise ValueError("a variance of an AUC that is none")


def _require_those_counts(predictions: ClassPredictions, summary: ClassSummary) -> None:
    if (
        predictions.scans_by_class != summary.scans_by_class
        or predictions.participants_by_class != summary.participants_by_class
        or score_counts(predictions) != summary.scores
        or ConfusionMatrix.of(predictions) != summary.confusion
    ):
        raise ValueError("the predictions and the counts disagree")
