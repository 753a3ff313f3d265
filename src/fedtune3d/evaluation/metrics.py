"""The metrics of a method and of a whole run: what `metrics.json` holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedtune3d._utils.typed_json import read_typed
from fedtune3d.evaluation.calibration import Calibration
from fedtune3d.evaluation.decision_curve import DecisionPoint
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.groups import AxisMetrics
from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.reliability import CurvePoint
from fedtune3d.evaluation.roc import RocCurve


@dataclass(frozen=True)
class AtSpecificity:
    """The operating point at the threshold that has a given specificity on the validation scans.

    Attributes:
        target: That specificity.
        threshold: None where no threshold has it.
        sensitivity: On the test scans.
        specificity: On the test scans.
    """

    target: float
    threshold: float | None
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class TestMetrics:
    """How well a model does on test scans: of one site, or of all together.

    Attributes:
        participants: People; one known to two sites counts twice.
        participants_by_class: People with a negative scan, and people with a positive one.
        scans: Scans.
        positives: Positive scans.
        threshold: The one with the largest Youden's J on the validation scans; None where these are of one class.
        balanced_accuracy: At the threshold, as are sensitivity and specificity.
        at_specificity: At the threshold of a given specificity.
        auc: With its interval by resampling people.
        auc_delong: With the interval of DeLong or Obuchowski.
        calibration: Slope, intercept, Brier score and calibration error.
        roc: None where a class has no scan; with a band only for all sites together.
    """

    __test__ = False  # no test case, though its name begins so

    participants: int
    participants_by_class: tuple[int, int]
    scans: int
    positives: int
    threshold: float | None
    balanced_accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    at_specificity: AtSpecificity
    auc: Estimate
    auc_delong: Estimate
    calibration: Calibration
    roc: RocCurve | None


@dataclass(frozen=True)
class PooledMetrics(TestMetrics):
    """All sites' test scans together.

    Attributes:
        calibration_curve: Observed against predicted in ten bins; empty without scans.
        decision_curve: Net benefit by threshold; empty without scans.
        grid_error: The most by which an AUC of all scans from counts on the grid errs; None where there is no AUC.
    """

    calibration_curve: tuple[CurvePoint, ...]
    decision_curve: tuple[DecisionPoint, ...]
    grid_error: float | None


@dataclass(frozen=True)
class MethodMetrics:
    """The metrics of a method, such as ``federated`` or ``local``.

    Attributes:
        threshold: Chosen on all sites' validation scans; None where there is none, or each site has its own.
        sites: Site → its metrics.
        pooled: None where each site has its own model, whose probabilities are on no common scale.
        mean_auc: Over the sites that have an AUC.
        groups: Axis (``sex``, …, ``site``) → its groups; None where each site has its own model.
    """

    threshold: float | None
    sites: Mapping[str, TestMetrics]
    pooled: PooledMetrics | None
    mean_auc: SiteMean
    groups: Mapping[str, AxisMetrics] | None

    @property
    def parts(self) -> dict[str, TestMetrics]:
        """Site → its metrics, and ``Pooled`` → those of all test scans together, where there are any."""
        pooled: dict[str, TestMetrics] = {} if self.pooled is None else {"Pooled": self.pooled}
        return dict(self.sites) | pooled


@dataclass(frozen=True)
class WeightsSource:
    """Where the encoder's weights came from: a file's name or ``random``, and its SHA-256 or None."""

    source: str
    sha256: str | None


@dataclass(frozen=True)
class ModelCost:
    """Parameters, and the bytes that a site exchanges per round, both ways."""

    trainable_parameters: int
    parameters: int
    bytes_per_round_and_site: int


@dataclass(frozen=True)
class RunMetrics:
    """The evaluation of a run.

    Attributes:
        version: Of this format.
        experiment: The experiment's name.
        simulated: Whether any site's scans are simulated.
        weights: Of the encoder, before training.
        head: By its name in the configuration.
        tuning: Likewise.
        rule: Likewise.
        best_round: The round of the state that was evaluated.
        groups: People or anatomies that are never split, over all sites; None where not known.
        cost: Parameters and traffic.
        methods: Method → its metrics; ``federated`` is always there.
    """

    version: Literal[2]
    experiment: str
    simulated: bool
    weights: WeightsSource
    head: str
    tuning: str
    rule: str
    best_round: int | None
    groups: int | None
    cost: ModelCost
    methods: Mapping[str, MethodMetrics]

    @property
    def federated(self) -> MethodMetrics:
        """The metrics of the federated model."""
        return self.methods["federated"]


def read_metrics(path: Path) -> RunMetrics:
    """Read ``metrics.json``, as `write_typed` wrote it.

    Raises:
        InputError: Where the file is missing, damaged or of another version; names it.
    """
    return read_typed(RunMetrics, path, "run it again with --resume")
