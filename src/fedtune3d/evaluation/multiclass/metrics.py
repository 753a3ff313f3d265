"""The metrics of a method that predicts one of several classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedtune3d.evaluation.confusion import Fraction
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.multiclass.confusion_matrix import ConfusionMatrix
from fedtune3d.evaluation.reliability import CalibrationError, CurvePoint
from fedtune3d.evaluation.roc import RocCurve
from fedtune3d.evaluation.subgroups import SubgroupAxis


@dataclass(frozen=True)
class OneClass:
    """The performance of a model for one class.

    Attributes:
        people: People with a test scan of the class.
        auc: AUC of the class against the rest.
        sensitivity: Share of the class's scans that are called that class.
        recognised: The same as scans; None if held back.
        roc: ROC curve of the class against the rest; None if one of the two has no scans.
    """

    people: int
    auc: Estimate
    sensitivity: Estimate
    recognised: Fraction | None
    roc: RocCurve | None


@dataclass(frozen=True)
class ClassTestMetrics:
    """The performance of a model on the test scans of one site, or of all sites.

    Attributes:
        participants: Number of people; a person at two sites counts twice.
        scans: Number of scans.
        confusion: Scans by class and class of highest probability.
        of_class: The C classes, in their order.
        macro_auc: Mean of the classes' AUCs against the rest.
        hand_till: Mean over pairs of classes of their AUC, Hand and Till's M.
        balanced_accuracy: Mean of the classes' sensitivities.
        accuracy: Share of scans that are called what they are.
        log_loss: Mean of −log of the probability of the scan's own class.
        brier: Brier score, from 0 to 2.
        calibration_error: Expected calibration error of the probability of the predicted class; its value is None if it
            is held back.
        calibration_curve: Share of right predictions against that probability, in ten bins; empty if held back.
    """

    participants: int
    scans: int
    confusion: ConfusionMatrix
    of_class: tuple[OneClass, ...]
    macro_auc: Estimate
    hand_till: Estimate
    balanced_accuracy: Estimate
    accuracy: Estimate
    log_loss: Estimate
    brier: Estimate
    calibration_error: CalibrationError
    calibration_curve: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class ClassMeans:
    """Plain means over the sites that have a value."""

    macro_auc: SiteMean
    hand_till: SiteMean
    balanced_accuracy: SiteMean
    log_loss: SiteMean
    brier: SiteMean


@dataclass(frozen=True)
class ClassMetrics:
    """The metrics of a method, such as ``federated`` or ``local``.

    Attributes:
        classes: Names of the C classes.
        sites: Site → its metrics.
        pooled: Metrics over all sites; None if each site has its own model, as probabilities are then not comparable.
        mean: Means over sites.
        groups: Axis (``sex``, …) → the macro AUC of its groups; empty if each site has its own model.
    """

    classes: tuple[str, ...]
    sites: Mapping[str, ClassTestMetrics]
    pooled: ClassTestMetrics | None
    mean: ClassMeans
    groups: Mapping[str, SubgroupAxis] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, ClassTestMetrics]:
        """Site → its metrics, and ``Pooled`` → those of all test scans, if any."""
        pooled: dict[str, ClassTestMetrics] = {} if self.pooled is None else {"Pooled": self.pooled}
        return dict(self.sites) | pooled
