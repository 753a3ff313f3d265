"""Measures of predicted numbers with their intervals: errors, bias, R², calibration line and correlations."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fedtune3d.evaluation.confusion import NO_SCANS
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.measure import Measure, Scale, few_people
from fedtune3d.evaluation.regression.line import line_values
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.number_sums import NumberSums
from fedtune3d.evaluation.regression.variances import (
    FEWEST_PEOPLE,
    LineVariances,
    VarianceRatios,
    normal_variance_of_square,
)
from fedtune3d.evaluation.sample import FROM_PREDICTIONS

Name = Literal["mae", "rmse", "bias", "r_squared", "slope", "intercept", "pearson", "spearman"]
NAMES: tuple[Name, ...] = get_args(Name)
SCALES: Mapping[Name, Scale] = {
    "mae": "log",
    "rmse": "log",
    "bias": "identity",
    "r_squared": "complement",
    "slope": "identity",
    "intercept": "identity",
    "pearson": "fisher",
    "spearman": "fisher",
}
"""The scale of each measure's interval."""
CLUSTERED = "mean over scans, people as clusters"
AT_LEAST_NORMAL = f"{CLUSTERED}, variance at least that under normality"
ROBUST = "jackknife variance over people, shrunk to that under normality; {source}"
NORMAL = "variance under normality times that of the squared errors over theirs, people as observations; from sums"
RANKS = "variance of Bonett and Wright (2000), people as observations"


@dataclass(frozen=True)
class NumberEstimates:
    """The measures of test scans, in the target's unit or without one.

    Attributes:
        mae: Mean absolute error.
        rmse: Root of the mean squared error.
        bias: Mean of predicted minus true numbers.
        r_squared: Share of the true numbers' variance that is predicted, 1 − Σ(p − y)² / Σ(y − ȳ)²; below 0 if the mean
            of the true numbers would be closer.
        slope: Calibration slope: that of the regression of the true on the predicted number; below 1 if predictions are
            too far apart.
        intercept: That regression's constant, in the unit.
        pearson: Correlation of true and predicted numbers.
        spearman: Correlation of their ranks.
    """

    mae: Estimate
    rmse: Estimate
    bias: Estimate
    r_squared: Estimate
    slope: Estimate
    intercept: Estimate
    pearson: Estimate
    spearman: Estimate


def spearman_correlation(predictions: NumberPredictions) -> float | None:
    """Correlate the ranks of true and predicted numbers, ties at their mean; None if either does not vary."""
    from scipy.stats import pearsonr, rankdata

    ranks = [rankdata(part) for part in (predictions.truth, predictions.predicted)]
    if len(predictions) < 2 or any(part.min() == part.max() for part in ranks):
        return None
    return float(pearsonr(*ranks).statistic)


def measures(
    sums: NumberSums, reference: float, ratios: VarianceRatios | None, spearman: float | None
) -> dict[Name, Measure]:
    """Compute the measures that are defined, with their variances.

    Args:
        sums: The sums of test scans.
        reference: What true and predicted numbers were taken minus.
        ratios: How far the variances are from those under normality; None to take that from the sums.
        spearman: Correlation of ranks, if known.
    """
    found: dict[Name, Measure] = {}
    for name, part in (("mae", sums.absolute_error), ("bias", sums.error)):
        if (measure := part.measure) is not None:
            found["mae" if name == "mae" else "bias"] = measure
    if (squares := sums.squared_error.measure) is not None and squares.value > 0:
        root = math.sqrt(squares.value)
        # A few people show nothing of rare great errors, so the variance is at least that under normality.
        variance = max(squares.variance, normal_variance_of_square(squares.value, sums.joint.people))
        found["rmse"] = Measure(root, variance / (4 * squares.value), squares.degrees)
    normal = LineVariances.under_normality(sums.joint, reference)
    if normal is not None:
        found |= _of_line(sums, reference, normal, ratios or VarianceRatios.from_sums(sums))
    people = sums.joint.people
    if spearman is not None and people >= FEWEST_PEOPLE and abs(spearman) < 1:
        of_ranks = (1 - spearman**2) ** 2 * (1 + spearman**2 / 2) / (people - 3)
        found["spearman"] = Measure(spearman, of_ranks, people - 1)
    return found


def _of_line(sums: NumberSums, reference: float, normal: LineVariances, ratios: VarianceRatios) -> dict[Name, Measure]:
    joint = sums.joint
    scalars = (joint.scans, joint.truth, joint.predicted, joint.truth_squared, joint.product, joint.predicted_squared)
    values = line_values([np.array([part], dtype=np.float64) for part in scalars], reference)
    degrees = joint.people - 2
    return {
        "r_squared": Measure(float(values.r_squared[0]), normal.r_squared * ratios.r_squared, degrees),
        "slope": Measure(float(values.slope[0]), normal.slope * ratios.slope, degrees),
        "intercept": Measure(float(values.intercept[0]), normal.intercept * ratios.intercept, degrees),
        "pearson": Measure(float(values.pearson[0]), normal.pearson * ratios.pearson, degrees),
    }


def estimates(measured: Mapping[Name, Measure], people: int, shared: bool, robust: bool) -> NumberEstimates:
    """Estimate all measures with their 95% CIs, or give the reasons why some are undefined.

    Args:
        measured: Result of `measures`.
        people: Number of people.
        shared: Whether the measures are of predictions, not of sums.
        robust: Whether their variances are robust.
    """
    source = FROM_PREDICTIONS if shared else "from sums"
    of_line = ROBUST.format(source=source) if robust else NORMAL
    methods: dict[Name, str] = dict.fromkeys(NAMES, of_line)
    methods |= {"mae": CLUSTERED, "rmse": AT_LEAST_NORMAL, "bias": CLUSTERED, "spearman": RANKS}
    few = few_people(people)
    return NumberEstimates(
        **{
            name: measured[name].estimate(SCALES[name], methods[name], few)
            if name in measured
            else undefined(_why_undefined(name, people, shared))
            for name in NAMES
        }
    )


def _why_undefined(name: Name, people: int, shared: bool) -> str:
    if not people:
        return NO_SCANS
    if name in ("mae", "rmse", "bias"):
        return "fewer than two people" if people < 2 else "no errors"
    if people < FEWEST_PEOPLE:
        return f"fewer than {FEWEST_PEOPLE} people"
    if name == "spearman" and not shared:
        return "ranks need all sites' predictions"
    return "the true or the predicted numbers do not vary, or every prediction is right"
