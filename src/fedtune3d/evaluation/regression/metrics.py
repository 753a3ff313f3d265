"""The metrics of a method that predicts a number."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.regression.corrected_gap import CorrectedGap, TrendCorrection
from fedtune3d.evaluation.regression.measures import NumberEstimates
from fedtune3d.evaluation.regression.residual_bins import ResidualBin
from fedtune3d.evaluation.subgroups import SubgroupAxis


@dataclass(frozen=True)
class Points:
    """True and predicted numbers of scans, sorted by prediction."""

    truth: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class NumberTestMetrics:
    """The performance of a model on the test scans of one site, or of all sites.

    Attributes:
        participants: Number of people; a person at two sites counts twice.
        scans: Number of scans.
        truth_mean: Mean of the true numbers; None without scans.
        truth_deviation: Their standard deviation over scans; None with fewer than two.
        measures: The measures with their intervals.
        gap: The gap corrected for regression to the mean; None if the correction could not be fitted.
        residuals: Errors by range of the true number.
        points: The scans; None if the predictions stay at their site.
    """

    participants: int
    scans: int
    truth_mean: float | None
    truth_deviation: float | None
    measures: NumberEstimates
    gap: CorrectedGap | None
    residuals: tuple[ResidualBin, ...]
    points: Points | None


@dataclass(frozen=True)
class NumberMeans:
    """Plain means over the sites that have a value."""

    mae: SiteMean
    rmse: SiteMean
    bias: SiteMean
    r_squared: SiteMean
    slope: SiteMean
    intercept: SiteMean
    pearson: SiteMean
    spearman: SiteMean


@dataclass(frozen=True)
class NumberMetrics:
    """The metrics of a method, such as ``federated`` or ``local``.

    Attributes:
        limits: The target's range.
        corrections: Site → the correction of its gap; all are the same if all sites share the model.
        sites: Site → its metrics.
        pooled: Metrics over all sites; None if each site has its own model.
        mean: Means over sites.
        groups: Axis (``sex``, …) → the mean absolute error of its groups; empty if each site has its own model.
    """

    limits: tuple[float, float]
    corrections: Mapping[str, TrendCorrection]
    sites: Mapping[str, NumberTestMetrics]
    pooled: NumberTestMetrics | None
    mean: NumberMeans
    groups: Mapping[str, SubgroupAxis] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, NumberTestMetrics]:
        """Site → its metrics, and ``Pooled`` → those of all test scans, if any."""
        pooled: dict[str, NumberTestMetrics] = {} if self.pooled is None else {"Pooled": self.pooled}
        return dict(self.sites) | pooled
