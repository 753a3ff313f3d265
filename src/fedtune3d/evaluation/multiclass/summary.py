"""The summary of its predictions of several classes that a site sends, without names.

The site's policy decides whether the test probabilities leave; otherwise, only their counts on a grid do, by class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.cluster_sums import ClusterSums
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.grid import GRID, Grid
from fedtune3d.evaluation.multiclass.class_auc import hand_till, macro_auc, one_vs_rest
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.confusion_matrix import ConfusionMatrix
from fedtune3d.evaluation.multiclass.groups import ClassAxis, summarise_class_groups
from fedtune3d.evaluation.multiclass.losses import brier_losses, log_losses
from fedtune3d.evaluation.multiclass.mean_auc import MeanAuc
from fedtune3d.evaluation.multiclass.paired import paired_macro_auc
from fedtune3d.evaluation.multiclass.score_counts import CountByClass, ScoreCounts, count_by_class, score_counts
from fedtune3d.evaluation.paired import Comparison
from fedtune3d.evaluation.subgroups import Axes

VERSION = 1


@dataclass(frozen=True)
class SharedClassPredictions:
    """Test scans whose probabilities leave the site, sorted by probability.

    Attributes:
        participants: (n,) a number per person, in the order of their first scan, unrelated to names.
        truth: (n,) the class of each scan.
        probabilities: (n,) the probabilities of the C classes.
    """

    participants: tuple[int, ...]
    truth: tuple[int, ...]
    probabilities: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, test: ClassPredictions) -> Self:
        """Create the rows of `test` with opaque participant numbers in the order of probabilities, not of names."""
        order = np.lexsort((test.participant_codes(), test.truth, *test.probabilities.T[::-1]))
        numbers: dict[str, int] = {}
        return cls(
            tuple(numbers.setdefault(test.participants[row], len(numbers)) for row in order),
            tuple(test.truth[order].tolist()),
            tuple(tuple(row) for row in test.probabilities[order].tolist()),
        )

    def predictions(self, classes: int) -> ClassPredictions:
        """Return the rows as predictions, named by the numbers. Raises `ValueError` if they are invalid."""
        names = tuple(f"{number:09d}" for number in self.participants)
        if any(len(row) != classes for row in self.probabilities):
            raise ValueError(f"predictions: expected the probabilities of {classes} classes per scan")
        probabilities = np.array(self.probabilities, np.float64).reshape(-1, classes)
        return ClassPredictions(names, ("",) * len(names), np.array(self.truth, np.int64), probabilities)


@dataclass(frozen=True)
class ClassSummary:
    """Everything that leaves a site after the evaluation of a model of several classes on its test scans.

    Attributes:
        version: Version of this format.
        classes: Names of the C classes.
        grid: The grid of all counts.
        participants: Number of people.
        participants_by_class: People with a scan of each class.
        scans_by_class: Scans of each class.
        confusion: Scans by class and predicted class.
        scores: Scans by probability of each class and true class.
        top_label: Scans by probability of the predicted class, wrong and right; None if the confusion matrix is not
            whole, as the two together would complete it.
        log_loss: Sums of the log loss.
        brier: Sums of the Brier score.
        one_vs_rest: (C,) AUC of each class against the rest.
        macro_auc: Their mean.
        hand_till: Mean over pairs of classes (Hand and Till's M).
        groups: Axis → the groups that are large enough to leave.
        against_federated: The federated model's macro AUC minus this model's on the same scans; None for that model.
        predictions: The predictions; None if the site's policy does not let them leave.
    """

    version: int
    classes: tuple[str, ...]
    grid: Grid
    participants: int
    participants_by_class: tuple[int, ...]
    scans_by_class: tuple[int, ...]
    confusion: ConfusionMatrix
    scores: ScoreCounts
    top_label: ClassCounts | None
    log_loss: ClusterSums
    brier: ClusterSums
    one_vs_rest: tuple[Estimate, ...]
    macro_auc: MeanAuc
    hand_till: MeanAuc
    groups: Mapping[str, ClassAxis]
    against_federated: Comparison | None
    predictions: SharedClassPredictions | None

    @property
    def scans(self) -> int:
        """Number of scans."""
        return sum(self.scans_by_class)


def summarise_classes(
    test: ClassPredictions,
    classes: Sequence[str],
    share_predictions: bool,
    min_people: int = 1,
    count: CountByClass = count_by_class,
    federated: ClassPredictions | None = None,
    axes: Axes | None = None,
    min_per_class: int = 1,
) -> ClassSummary:
    """Summarise a site's predictions of several classes.

    Args:
        test: Test scans. May be empty or lack a class; undefined estimates then give the reason.
        classes: Names of the C classes, in the order of the probabilities.
        share_predictions: Whether test probabilities and classes leave; all counts are then exact.
        min_people: Fewest people in a cell of the confusion matrix that leaves.
        count: How scans are counted on the grid.
        federated: The federated model's predictions of the same test scans, to compare a baseline with.
        axes: The group of each test scan by axis, such as sex.
        min_per_class: Fewest people of each class in a group that leaves.
    """
    if len(classes) != test.classes:
        raise ValueError(f"expected probabilities of the classes {', '.join(classes)}, got {test.classes}")
    confusion = ConfusionMatrix.of(test, 1 if share_predictions else min_people)
    counting = count_by_class if share_predictions else count
    return ClassSummary(
        version=VERSION,
        classes=tuple(classes),
        grid=GRID,
        participants=len(set(test.participants)),
        participants_by_class=test.participants_by_class,
        scans_by_class=test.scans_by_class,
        confusion=confusion,
        scores=score_counts(test, counting),
        top_label=_count_top_label(test, counting) if confusion.whole else None,
        log_loss=log_losses(test),
        brier=brier_losses(test),
        one_vs_rest=tuple(one_vs_rest(test, of) for of in range(test.classes)),
        macro_auc=macro_auc(test),
        hand_till=hand_till(test),
        groups=summarise_class_groups(test, axes or {}, min_per_class, count),
        against_federated=None if federated is None else paired_macro_auc(federated, test),
        predictions=SharedClassPredictions.of(test) if share_predictions else None,
    )


def _count_top_label(test: ClassPredictions, count: CountByClass) -> ClassCounts | None:
    """Count the scans by probability of the predicted class; None if wrong or right ones are of too few people."""
    top = test.top_label()
    wrong, right = count(top.probabilities, top.labels.astype(np.int64), top.participants, 2)
    counts = ClassCounts(wrong, right)
    return counts if int(counts.dense().sum()) == len(test) else None
