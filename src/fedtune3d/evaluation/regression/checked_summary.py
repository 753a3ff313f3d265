"""A site's summary of predicted numbers at the server, checked for consistency."""

import math
from dataclasses import dataclass
from typing import Self

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.regression.coarse import coarse_step
from fedtune3d.evaluation.regression.groups import require_possible_number_groups
from fedtune3d.evaluation.regression.joint_sums import require_possible_joint
from fedtune3d.evaluation.regression.measures import spearman_correlation
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.number_sums import NumberSums, require_possible_numbers
from fedtune3d.evaluation.regression.paired import require_possible_comparison
from fedtune3d.evaluation.regression.residual_bins import require_possible_bins
from fedtune3d.evaluation.regression.summary import VERSION, Limits, NumberSummary
from fedtune3d.evaluation.regression.variances import VarianceRatios


@dataclass(frozen=True, eq=False)
class CheckedNumberSummary:
    """A summary with consistent sums.

    Attributes:
        sent: The summary, as sent.
        predictions: The test predictions; None if they stay at the site.
    """

    sent: NumberSummary
    predictions: NumberPredictions | None

    @property
    def scans(self) -> int:
        """Number of test scans."""
        return self.sent.test.joint.scans

    @classmethod
    def of(cls, site: str, summary: NumberSummary, limits: Limits) -> Self:
        """Check the summary that a site sent.

        Raises:
            InputError: If it is of another version or range, or its numbers are inconsistent, with the site's name.
        """
        if (summary.version, summary.limits) != (VERSION, limits):
            raise InputError(
                f"summary of site {site}: expected version {VERSION} of a number from {limits[0]:g} to {limits[1]:g}, "
                f"got version {summary.version} of one from {summary.limits[0]:g} to {summary.limits[1]:g}; run the "
                "same fedtune3d and configuration at all sites"
            )
        try:
            _require_consistent(summary)
            predictions = None if summary.predictions is None else summary.predictions.predictions()
            if predictions is not None:
                _require_those_sums(predictions, summary)
        except ValueError as error:
            raise InputError(f"summary of site {site}: {error}; evaluate again") from error
        return cls(summary, predictions)


def _require_consistent(summary: NumberSummary) -> None:
    require_possible_joint(summary.validation)
    rounding = coarse_step(summary.limits) / 2 if summary.predictions is None else 0.0
    require_possible_numbers(summary.test, rounding)
    joint = summary.test.joint
    require_possible_bins(summary.residuals, joint.people, joint.scans, summary.test.error.total, rounding)
    require_possible_number_groups(summary.groups, joint.people, joint.scans)
    if summary.ratios is not None and not all(0 < ratio < math.inf for ratio in vars(summary.ratios).values()):
        raise ValueError(f"ratios of variances of {list(vars(summary.ratios).values())}")
    if summary.spearman is not None and not -1 - 1e-9 <= summary.spearman <= 1 + 1e-9:
        raise ValueError(f"a rank correlation of {summary.spearman:g}")
    if summary.against_federated is not None:
        require_possible_comparison(summary.against_federated)


def _require_those_sums(predictions: NumberPredictions, summary: NumberSummary) -> None:
    """Check that the sums are those of the predictions, up to the order in which scans were added."""
    own, sums = NumberSums.of(predictions, summary.reference), summary.test
    pairs = [
        (value, getattr(getattr(sums, part), name))
        for part in vars(own)
        for name, value in vars(getattr(own, part)).items()
    ]
    own_ratios, spearman = VarianceRatios.of(predictions), spearman_correlation(predictions)
    if (own_ratios is None) != (summary.ratios is None) or (spearman is None) != (summary.spearman is None):
        raise ValueError("the predictions and the statistics of them disagree")
    if own_ratios is not None and summary.ratios is not None:
        ratios = zip(vars(own_ratios).values(), vars(summary.ratios).values(), strict=True)
        if any(abs(own_ratio - sent_ratio) > 0.02 for own_ratio, sent_ratio in ratios):
            raise ValueError("the predictions and the ratios of variances disagree")
    if spearman is not None:
        pairs.append((spearman, summary.spearman))
    scale = max(1.0, sums.joint.truth_squared, sums.joint.predicted_squared)
    if not all(math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-9 * scale) for value, other in pairs):
        raise ValueError("the predictions and the sums disagree")
