"""A measure with its sampling variance, its CI on the scale that suits it, and its mean over sites."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.mean_over_sites import SiteMean

Scale = Literal["identity", "log", "complement", "fisher"]
"""The scale on which a measure's error is taken as symmetric: the measure itself; its logarithm, if it is positive; the
logarithm of 1 minus it, if it is below 1, as R² is; or Fisher's z, if it is a correlation."""
NAMES: Mapping[Scale, str] = {
    "identity": "",
    "log": " on the logarithm",
    "complement": " on the logarithm of 1 minus it",
    "fisher": " on Fisher's z",
}
MEAN = "mean over sites, t interval{scale} from the sum of the sites' variances (Satterthwaite 1946)"


@dataclass(frozen=True)
class Measure:
    """A measure of test scans.

    Attributes:
        value: The estimate.
        variance: Its sampling variance, not negative.
        degrees: Degrees of freedom of that variance, at least 1.
    """

    value: float
    variance: float
    degrees: float

    def estimate(self, scale: Scale, method: str, few: bool) -> Estimate:
        """Return the estimate with its 95% CI by Student's t on a scale; undefined if it is at the scale's end.

        Args:
            scale: Where the interval is symmetric. The standard error there follows by the delta method.
            method: The name of the variance.
            few: Whether there are few people, for the mark.
        """
        from scipy.stats import t as student

        slope = _slope(scale, self.value)
        if slope is None:
            return undefined(f"a value of {self.value:g} has no interval")
        reach = float(student.ppf(0.975, self.degrees)) * math.sqrt(self.variance) * slope
        limits = sorted(_moved(scale, self.value, sign * reach) for sign in (-1, 1))
        return defined(self.value, (limits[0], limits[1]), f"{method}, t interval{NAMES[scale]}", few)


def mean_measure(measures: Mapping[str, Measure], scale: Scale, few: bool) -> SiteMean:
    """Estimate the plain mean over sites of a measure; undefined without one.

    The degrees of freedom of the sum of variances are Satterthwaite's: (Σ Vᵢ)² / Σ (Vᵢ² / νᵢ).

    Args:
        measures: Site → its measure; sites without one are left out.
        scale: As in `Measure.estimate`.
        few: Whether a site has few people, for the mark.

    References:
        Satterthwaite, 1946, Biometrics Bull. 2:110–114.
    """
    if not measures:
        return SiteMean(**vars(undefined("no site has a value")), sites=())
    mean = sum_of_independent(list(measures.values()), 1 / len(measures)).estimate(scale, "", few)
    method = MEAN.format(scale=NAMES[scale]) if mean.undefined is None else ""
    return SiteMean(**(vars(mean) | {"method": method}), sites=tuple(measures))


def sum_of_independent(measures: list[Measure], weight: float) -> Measure:
    """Return `weight` times the sum of independent measures, with Satterthwaite's degrees of freedom."""
    variances = [measure.variance for measure in measures]
    total = math.fsum(variances)
    parts = math.fsum(measure.variance**2 / measure.degrees for measure in measures)
    degrees = total**2 / parts if parts > 0 else math.fsum(measure.degrees for measure in measures)
    value = math.fsum(measure.value for measure in measures)
    return Measure(weight * value, weight**2 * total, degrees)


def few_people(people: int) -> bool:
    """Return whether an estimate from this number of people is marked 'few'."""
    return people < FEW


def _slope(scale: Scale, value: float) -> float | None:
    """The derivative of the scale at a value; None where there is none."""
    at = {"identity": 1.0, "log": value, "complement": 1 - value, "fisher": 1 - value**2}[scale]
    return 1 / at if at > 0 else None


def _moved(scale: Scale, value: float, by: float) -> float:
    """Move a value along its scale."""
    if scale == "identity":
        return value + by
    if scale == "log":
        return value * math.exp(by)
    if scale == "complement":
        return 1 - (1 - value) * math.exp(by)
    return math.tanh(math.atanh(value) + by)
