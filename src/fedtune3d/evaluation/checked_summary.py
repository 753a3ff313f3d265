"""A site's summary at the server: checked for consistency, with its counts as arrays."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.auc_interval import AucVariance
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.grid import GRID
from fedtune3d.evaluation.membership import MembershipAttack, require_possible_attack
from fedtune3d.evaluation.paired import require_possible
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import VERSION, Summary, TestSummary


@dataclass(frozen=True, eq=False)
class CheckedSummary:
    """A summary with consistent counts.

    Attributes:
        test: The summary of the site's test scans, as sent.
        validation_counts: (2, BINS) int64, negatives first.
        test_counts: (2, BINS) int64, negatives first.
        predictions: The test predictions; None if they stay at the site.
        membership: The membership attack; None if there was none.
    """

    test: TestSummary
    validation_counts: np.ndarray
    test_counts: np.ndarray
    predictions: Predictions | None
    membership: MembershipAttack | None

    @property
    def scans(self) -> int:
        """Number of test scans."""
        return self.test.scans

    @property
    def auc_variance(self) -> AucVariance | None:
        """The variance of the site's AUC; None if its AUC has none."""
        ratio = self.test.auc_variance_ratio
        return None if ratio is None else AucVariance(ratio, *self.test.participants_by_class)

    @classmethod
    def of(cls, site: str, summary: Summary) -> Self:
        """Check the summary that a site sent.

        Raises:
            InputError: If it is of another version or grid, or its numbers are inconsistent, with the site's name.
        """
        if (summary.version, summary.grid) != (VERSION, GRID):
            raise InputError(
                f"summary of site {site}: expected version {VERSION} on {GRID}, got version {summary.version} on "
                f"{summary.grid}; run the same fedtune3d at all sites"
            )
        test = summary.test
        try:
            validation_counts, test_counts = summary.validation.dense(), test.counts.dense()
            counted = int(test_counts.sum()), int(test_counts[1].sum())
            if counted != (test.scans, test.positives):
                raise ValueError(
                    f"{test.scans} scans, {test.positives} positive, but counts of {counted[0]} and {counted[1]}"
                )
            ratio = test.auc_variance_ratio
            if (ratio is None) != (test.auc.value is None) or (ratio is not None and not 0 < ratio < math.inf):
                raise ValueError(f"an AUC of {test.auc.value} with a variance ratio of {ratio}")
            if ratio is not None and min(test.participants_by_class) < 1:
                raise ValueError(f"an AUC of {test.participants_by_class} people of the classes")
            if test.against_federated is not None:
                require_possible(test.against_federated)
            if summary.membership is not None:
                require_possible_attack(summary.membership, test.participants)
            predictions = None if test.predictions is None else test.predictions.predictions()
            if predictions is not None and ClassCounts.of(predictions) != test.counts:
                raise ValueError("the predictions and the counts disagree")
        except ValueError as error:
            raise InputError(f"summary of site {site}: {error}; evaluate again") from error
        return cls(test, validation_counts, test_counts, predictions, summary.membership)
