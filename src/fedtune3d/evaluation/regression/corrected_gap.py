"""The gap between predicted and true number, such as brain age, corrected for regression to the mean."""

import math
from dataclasses import dataclass

from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.measure import Measure, few_people
from fedtune3d.evaluation.regression.joint_sums import JointSums

FEWEST_SCANS = 3
FLAT = "not corrected: slope near 0"
"""Why there is no corrected gap: the 95% CI of the slope of the line reaches 0 or below."""
METHOD = "mean over scans, people as observations, correction taken as given"
CORRELATION = "Fisher's z with people as observations, correction taken as given"


@dataclass(frozen=True)
class TrendCorrection:
    """The line predicted = intercept + slope · true number, fitted on validation scans.

    The corrected gap is predicted − (intercept + slope · true number). As it uses the true number, an error computed
    from corrected predictions would be flattered: only the gap is reported.

    Attributes:
        slope: Below 1 if predictions are drawn towards the mean.
        intercept: In the target's unit.
        scans: Validation scans behind it.
        is_flat: Whether the 95% CI of the slope reaches 0 or below. Subtracting the line would then leave the
            prediction itself, up to a constant, so no gap is corrected by it.
    """

    slope: float
    intercept: float
    scans: int
    is_flat: bool = False


@dataclass(frozen=True)
class CorrectedGap:
    """The corrected gap of test scans, in the target's unit.

    Attributes:
        mean: Its mean; not 0 if the test scans differ from the validation scans.
        deviation: Its standard deviation over scans; None with fewer than two.
        trend_before: Correlation of the gap with the true number before the correction.
        trend_after: The same after it, near 0 if the correction fits the test scans.
    """

    mean: Estimate
    deviation: float | None
    trend_before: Estimate
    trend_after: Estimate


def fit_trend(validation: JointSums, reference: float) -> TrendCorrection | None:
    """Fit the line to sums of validation scans; None with under `FEWEST_SCANS` or if their numbers do not vary.

    References:
        Beheshti, Nugent, Potvin and Duchesne, 2019, NeuroImage Clin. 24:102063 (the gap's line on the true age); de
        Lange and Cole, 2020, NeuroImage Clin. 26:102229 (the same correction, as predicted + true − line).
    """
    if validation.scans < FEWEST_SCANS or not validation.varies:
        return None
    (truth, predicted), variance = validation.means, validation.variances[0]
    slope = validation.covariance / variance
    intercept = predicted + reference - slope * (truth + reference)
    return TrendCorrection(slope, intercept, validation.scans, _is_flat(validation))


def corrected_gap(test: JointSums, reference: float, correction: TrendCorrection) -> CorrectedGap:
    """Compute the corrected gap of test scans from their sums.

    Its intervals take people as observations, which is on the wide side where people have several scans, and leave out
    the uncertainty of the correction.
    """
    people = test.people
    if not people:
        nothing = undefined("no test scans, or too few for the policy")
        return CorrectedGap(nothing, None, nothing, nothing)
    if correction.is_flat:
        nothing = undefined(FLAT)
        return CorrectedGap(nothing, None, _trend(test, 1.0), nothing)
    truth, predicted = (mean + reference for mean in test.means)
    mean = predicted - correction.intercept - correction.slope * truth
    variance = _gap_variance(test, correction.slope)
    deviation = None if test.scans < 2 else math.sqrt(variance * test.scans / (test.scans - 1))
    if people < 2:
        of_mean = undefined("fewer than two people")
    else:
        of_mean = Measure(mean, variance / (people - 1), people - 1).estimate("identity", METHOD, few_people(people))
    return CorrectedGap(of_mean, deviation, _trend(test, 1.0), _trend(test, correction.slope))


def _is_flat(validation: JointSums) -> bool:
    """Return whether the 95% CI of the slope reaches 0, judged by that of the correlation, which has its sign."""
    truth, predicted = validation.variances
    if validation.covariance >= (1 - 1e-12) * math.sqrt(truth * predicted):
        return False  # all on the line
    limits = _trend(validation, 0.0).limits
    return limits is None or limits[1] <= 0


def _gap_variance(test: JointSums, slope: float) -> float:
    """The mean squared deviation of predicted − slope · true."""
    truth, predicted = test.variances
    return max(0.0, predicted - 2 * slope * test.covariance + slope**2 * truth)


def _trend(test: JointSums, slope: float) -> Estimate:
    """Correlate predicted − slope · true with the true number."""
    truth, gap = test.variances[0], _gap_variance(test, slope)
    if test.people < 4 or not test.varies or gap <= 1e-12 * truth:
        return undefined("too few people, or numbers that do not vary")
    value = max(-1.0, min(1.0, (test.covariance - slope * truth) / math.sqrt(gap * truth)))
    variance = (1 - value**2) ** 2 / (test.people - 3)
    return Measure(value, variance, test.people - 2).estimate("fisher", CORRELATION, few_people(test.people))
