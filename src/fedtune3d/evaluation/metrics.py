"""The metrics of a method and of a run: the content of `metrics.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from fedtune3d._utils.typed_json import read_typed
from fedtune3d.evaluation.against_baselines import AgainstBaseline
from fedtune3d.evaluation.calibration import Calibration
from fedtune3d.evaluation.confusion import Confusion
from fedtune3d.evaluation.decision_curve import DecisionPoint
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.groups import AxisMetrics
from fedtune3d.evaluation.heterogeneity import Heterogeneity
from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.membership import MembershipMetrics
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.outcome import BINARY, Outcome
from fedtune3d.evaluation.predictive_values import PredictiveValues
from fedtune3d.evaluation.recalibration import PlattScaling, Recalibrated
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.evaluation.reliability import CurvePoint
from fedtune3d.evaluation.roc import RocCurve


class SetSize(Protocol):
    """The numbers of people and scans of a test set, whatever was predicted of them."""

    @property
    def participants(self) -> int:
        """Number of people."""
        ...

    @property
    def scans(self) -> int:
        """Number of scans."""
        ...


@dataclass(frozen=True)
class AtSpecificity:
    """The operating point at the threshold that has a given specificity on the validation scans.

    Attributes:
        target: The required specificity on the validation scans.
        threshold: The threshold; None if no threshold reaches it.
        sensitivity: Sensitivity on the test scans.
        specificity: Specificity on the test scans.
        confusion: Test scans by class and verdict; None without a threshold.
    """

    target: float
    threshold: float | None
    sensitivity: Estimate
    specificity: Estimate
    confusion: Confusion | None


@dataclass(frozen=True)
class TestMetrics:
    """The performance of a model on the test scans of one site, or of all sites.

    Attributes:
        participants: Number of people; a person at two sites counts twice.
        participants_by_class: Numbers of people with a negative scan and with a positive scan.
        scans: Number of scans.
        positives: Number of positive scans.
        threshold: Threshold with the highest Youden's J on the validation scans; None if a class has none.
        balanced_accuracy: Balanced accuracy at the threshold, as are sensitivity and specificity.
        accuracy: Share of scans that are called what they are, at the threshold.
        confusion: Test scans by class and verdict at the threshold; None without one.
        predictive_values: At the threshold, for the test set's share of positive scans (if it has both classes), then
            for the prevalences in the configuration.
        at_specificity: Operating point at the threshold with a given specificity.
        auc: AUC with its interval, by default the score interval.
        auc_delong: AUC with DeLong's or Obuchowski's interval.
        calibration: Slope, intercept, Brier score and calibration error.
        roc: ROC curve, with a band only for all sites together; None if a class has no scans.
    """

    __test__ = False  # not a test class, despite its name

    participants: int
    participants_by_class: tuple[int, int]
    scans: int
    positives: int
    threshold: float | None
    balanced_accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    accuracy: Estimate
    confusion: Confusion | None
    predictive_values: tuple[PredictiveValues, ...]
    at_specificity: AtSpecificity
    auc: Estimate
    auc_delong: Estimate
    calibration: Calibration
    roc: RocCurve | None

    @property
    def negatives(self) -> int:
        """Number of negative scans."""
        return self.scans - self.positives


@dataclass(frozen=True)
class PooledMetrics(TestMetrics):
    """All sites' test scans together.

    Attributes:
        calibration_curve: Observed against predicted proportions in ten bins; empty without scans.
        decision_curve: Net benefit by threshold; empty without scans.
        grid_error: Upper bound on the error of the AUC from counts on the grid; None if there is no AUC.
    """

    calibration_curve: tuple[CurvePoint, ...]
    decision_curve: tuple[DecisionPoint, ...]
    grid_error: float | None


@dataclass(frozen=True)
class MethodMetrics:
    """The metrics of a method, such as ``federated`` or ``local``.

    Attributes:
        threshold: Chosen on all sites' validation scans; None if there is none, or each site has its own.
        sites: Site → its metrics.
        pooled: Metrics over all sites; None if each site has its own model, as probabilities are then not comparable.
        mean_auc: Mean over the sites that have an AUC.
        heterogeneity: Spread of the AUCs between sites; None with fewer than five sites that have one.
        groups: Axis (``sex``, …, ``site``) → its groups; None if each site has its own model.
        membership: How well the model's loss tells training people from test people; None if no site reports it.
        recalibrated: Site or ``Pooled`` → its calibration after Platt scaling; empty unless it is asked for.
    """

    threshold: float | None
    sites: Mapping[str, TestMetrics]
    pooled: PooledMetrics | None
    mean_auc: SiteMean
    heterogeneity: Heterogeneity | None
    groups: Mapping[str, AxisMetrics] | None
    membership: MembershipMetrics | None = None
    recalibrated: Mapping[str, Recalibrated] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, TestMetrics]:
        """Site → its metrics, and ``Pooled`` → those of all test scans, if any."""
        pooled: dict[str, TestMetrics] = {} if self.pooled is None else {"Pooled": self.pooled}
        return dict(self.sites) | pooled

    @property
    def scaling(self) -> PlattScaling | None:
        """The recalibration of a model that all sites share; None unless it was asked for and could be fitted."""
        pooled = self.recalibrated.get("Pooled")
        return None if pooled is None else pooled.scaling


@dataclass(frozen=True)
class WeightsSource:
    """The source of the encoder's weights: a file's name or ``random``, and its SHA-256 or None."""

    source: str
    sha256: str | None


@dataclass(frozen=True)
class ModelCost:
    """Numbers of parameters, and bytes exchanged per round and site in both directions."""

    trainable_parameters: int
    parameters: int
    bytes_per_round_and_site: int


@dataclass(frozen=True)
class RunMetrics:
    """The evaluation of a run.

    Attributes:
        version: Version of this format.
        experiment: The experiment's name.
        simulated: Whether any site's scans are simulated.
        weights: The encoder's weights before training.
        head: The head's name in the configuration.
        tuning: The tuning's name.
        rule: The rule's name.
        best_round: The round of the evaluated state.
        groups: Number of people (or anatomies) over all sites; None if unknown.
        test_groups: Number of distinct people (or anatomies) in all test sets together; None if unknown.
        outcome: What the model predicts.
        class_methods: Method → its metrics of three or more classes.
        number_methods: Method → its metrics of a number.
        cost: Parameters and traffic.
        methods: Method → its metrics of two classes; ``federated`` is there if the outcome is of two classes.
        against: Baseline → the federated model minus it, on the same test scans.
    """

    version: Literal[4]
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
    against: Mapping[str, AgainstBaseline]
    test_groups: int | None = None
    outcome: Outcome = BINARY
    class_methods: Mapping[str, ClassMetrics] = field(default_factory=dict)
    number_methods: Mapping[str, NumberMetrics] = field(default_factory=dict)

    @property
    def evaluated(self) -> Mapping[str, MethodMetrics] | Mapping[str, ClassMetrics] | Mapping[str, NumberMetrics]:
        """Method → its metrics, whatever the outcome; ``federated`` is always there."""
        return self.methods or self.class_methods or self.number_methods

    @property
    def of_two_classes(self) -> MethodMetrics | None:
        """The metrics of the federated model; None if the outcome is not one of two classes."""
        return self.methods.get("federated")

    @property
    def federated(self) -> MethodMetrics:
        """The metrics of the federated model. Raises `KeyError` unless the outcome is of two classes."""
        return self.methods["federated"]


def read_metrics(path: Path) -> RunMetrics:
    """Read ``metrics.json``, as written by `write_typed`.

    Raises:
        InputError: If the file is missing, damaged or from another version, with its name.
    """
    return read_typed(RunMetrics, path, "run it again with --resume")
