"""Suspicious scans of a site: by absolute limits, and by robust z-scores among the site's scans."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedtune3d.preparation.arrays import Numbers
from fedtune3d.preparation.quality.measures import AS_IT_LIES, Quality

MAX_Z = 3.5  # Iglewicz and Hoaglin, 1993, How to Detect and Handle Outliers
MIN_SCANS = 10  # with fewer, the median absolute deviation is unreliable
_MIN_SPREAD = 0.05  # relative to the median; values within 26% of the median are therefore never suspicious


@dataclass(frozen=True)
class Measure:
    """A measure in `Quality`, its format, and its limits.

    Attributes:
        name: Its attribute in `Quality` and column in qc.tsv.
        title: Title with unit.
        digits: Number of decimals shown.
        sides: Which deviations from the site's median are suspicious: ``low``, ``high``, ``both`` or ``""`` for none.
        low, high: Absolute limits; None for no limit.
        registered: Whether the limits apply only to registered scans.
    """

    name: str
    title: str
    digits: int
    sides: str = ""
    low: float | None = None
    high: float | None = None
    registered: bool = False


MEASURES = (
    Measure("brain_ml", "Brain volume (mL)", 0, "both", 800, 2000),
    Measure("template_correlation", "Correlation with template", 2, "low", low=0.35, registered=True),
    Measure("template_dice", "Overlap with template (Dice)", 2, "low", low=0.9, registered=True),
    Measure("snr", "Signal-to-noise ratio", 1, "low"),
    Measure("cnr", "Contrast-to-noise ratio", 1, "low", low=1.0),
    Measure("edge_cm2", "Brain on the scan's edge (cm²)", 1, high=15),
    Measure("header_degrees", "Angle of sform to qform (°)", 1, high=5),
)


Limits = tuple[float | None, float | None]
"""Below the first or above the second a value is suspicious; None for no limit."""


def limits_of(qualities: Sequence[Quality], registered: bool) -> dict[str, Limits]:
    """Return measure → its limits for the registered (or the unregistered) scans of a site.

    The stricter of the absolute limit and that of the robust z-score.
    """
    limits = {}
    for measure in MEASURES:
        values = np.array([value for quality in qualities if (value := getattr(quality, measure.name)) is not None])
        low, high = (measure.low, measure.high) if registered or not measure.registered else (None, None)
        if len(values) >= MIN_SCANS:
            middle, spread = _middle_and_spread(values.astype(np.float64))
            reach = MAX_Z * spread / 0.6745
            if measure.sides in ("low", "both"):
                low = middle - reach if low is None else max(low, middle - reach)
            if measure.sides in ("high", "both"):
                high = middle + reach if high is None else min(high, middle + reach)
        limits[measure.name] = (low, high)
    return limits


def flag_scans(qualities: Sequence[Quality], registered: Sequence[bool]) -> list[list[str]]:
    """Return the short reasons why each scan of a site is suspicious; empty for unsuspicious scans.

    The robust z-score is 0.6745 (x − median) / MAD; it requires ten scans with the measure. Registered and
    unregistered scans are assessed separately.
    """
    reasons: list[list[str]] = [[] for _ in qualities]
    for kind in (False, True):
        members = [index for index, is_registered in enumerate(registered) if is_registered == kind]
        for measure in MEASURES:
            known = [index for index in members if getattr(qualities[index], measure.name) is not None]
            values = np.array([getattr(qualities[index], measure.name) for index in known], dtype=np.float64)
            for index, value, score in zip(known, values, robust_scores(values), strict=True):
                if why := _reason(measure, float(value), float(score), kind):
                    reasons[index].append(why)
    for index, quality in enumerate(qualities):
        if quality.orientation != AS_IT_LIES:
            reasons[index].append(f"fits the template better {quality.orientation}")
    return reasons


def robust_scores(values: Numbers) -> Numbers:
    """Compute 0.6745 (x − median) / MAD of (n,) values, with MAD ≥ 5% of the median; zeros for fewer than ten."""
    if len(values) < MIN_SCANS:
        return np.zeros(len(values))
    middle, spread = _middle_and_spread(values)
    scores: Numbers = 0.6745 * (values - middle) / spread
    return scores


def _middle_and_spread(values: Numbers) -> tuple[float, float]:
    """Return the median, and the MAD but at least 5% of the median."""
    middle = float(np.median(values))
    return middle, max(float(np.median(np.abs(values - middle))), _MIN_SPREAD * abs(middle), 1e-9)


def _reason(measure: Measure, value: float, score: float, registered: bool) -> str | None:
    shown = f"{measure.title} {value:.{measure.digits}f}"
    if registered or not measure.registered:
        if measure.low is not None and value < measure.low:
            return f"{shown}: below {measure.low:g}"
        if measure.high is not None and value > measure.high:
            return f"{shown}: above {measure.high:g}"
    deviates = {"low": score < -MAX_Z, "high": score > MAX_Z, "both": abs(score) > MAX_Z}
    if deviates.get(measure.sides):
        return f"{shown}: outlier among the site's scans (robust z {score:+.1f})"
    return None
