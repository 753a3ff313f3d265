"""Predictions out of fold, in which everybody is predicted once per repeat, all folds together.

They are of different models, so they serve calibration and the errors of numbers, never a score of ranks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.cross_validated import FoldNumber
from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.regression.checked_summary import CheckedNumberSummary
from fedtune3d.evaluation.regression.residual_bins import ResidualBin, pool_bins
from fedtune3d.evaluation.sample import Sample

POOLED = "Pooled"
Checked = TypeVar("Checked")


@dataclass(frozen=True)
class OutOfFoldCalibration:
    """Calibration of the predictions of all folds of a repeat together, in which everybody is predicted once.

    With several repeats, the means over repeats of the values and of the limits.
    """

    slope: Estimate
    intercept: Estimate
    brier: Estimate


def calibrations_out_of_fold(
    folds: Mapping[FoldNumber, Mapping[str, CheckedSummary]], sites: Sequence[str]
) -> dict[str, OutOfFoldCalibration]:
    """Return site, and ``Pooled``, → the calibration of its predictions of two classes.

    Args:
        folds: Fold → site → its summary.
        sites: The sites.
    """
    parts = {site: [site] for site in sites} | {POOLED: list(sites)}
    return {name: _calibration(_of_sites(folds, used)) for name, used in parts.items()}


def residuals_out_of_fold(
    folds: Mapping[FoldNumber, Mapping[str, CheckedNumberSummary]], sites: Sequence[str]
) -> dict[str, tuple[ResidualBin, ...]]:
    """Return site, and ``Pooled``, → the errors by range of the true number, in the first repeat.

    Args:
        folds: Fold → site → its summary.
        sites: The sites.
    """
    first = {number: by_site for number, by_site in folds.items() if number.repeat == min(folds).repeat}
    parts = {site: [site] for site in sites} | {POOLED: list(sites)}
    return {
        name: pool_bins([part.sent.residuals for parts in _of_sites(first, used).values() for part in parts])
        for name, used in parts.items()
    }


def _of_sites(
    folds: Mapping[FoldNumber, Mapping[str, Checked]], sites: Sequence[str]
) -> dict[FoldNumber, list[Checked]]:
    return {number: [by_site[site] for site in sites if site in by_site] for number, by_site in folds.items()}


def _calibration(folds: Mapping[FoldNumber, Sequence[CheckedSummary]]) -> OutOfFoldCalibration:
    by_repeat: dict[int, list[CheckedSummary]] = {}
    for number, summaries in folds.items():
        by_repeat.setdefault(number.repeat, []).extend(summaries)
    found = [calibration(_sample(summaries)) for summaries in by_repeat.values() if summaries]
    return OutOfFoldCalibration(
        slope=_over_repeats([part.slope for part in found]),
        intercept=_over_repeats([part.intercept for part in found]),
        brier=_over_repeats([part.brier for part in found]),
    )


def _sample(summaries: Sequence[CheckedSummary]) -> Sample:
    """The test scans of the folds of a repeat, from their counts on the grid."""
    negative, positive = np.sum([part.test.participants_by_class for part in summaries], axis=0)
    counts = np.sum([part.test_counts for part in summaries], axis=0)
    return Sample.of_counts(counts, (int(negative), int(positive)), sum(part.test.participants for part in summaries))


def _over_repeats(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of the values and of the limits; undefined if one of them is."""
    limits = [estimate.limits for estimate in estimates]
    known = [limit for limit in limits if limit is not None]
    if not known or len(known) < len(limits):
        reasons = [estimate.undefined for estimate in estimates if estimate.undefined]
        return undefined(reasons[0] if reasons else "no test scans, or too few for the policy")
    value, low, high = (float(mean) for mean in np.mean(known, axis=0))
    return defined(value, (low, high), estimates[0].method, few=any(estimate.mark for estimate in estimates))
