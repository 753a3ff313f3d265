"""The prediction for a scan, by what the model predicts, and the table of those of many scans."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_text
from fedtune3d._utils.foreign_text import table_cell
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.workflows.exported_model import recalibrate
from fedtune3d.workflows.known_scans import KnownScan

Cell = str | float | bool | None
_SCAN = "scan"
_COMPARED = ("out_of_distribution", "nearest_site", "distance", "why_not_known")
"""The last columns of a table of predictions."""


class _Compared:
    """A scan that is compared with those of the training sites.

    Attributes:
        distance: Distance to the nearest site, relative to the 95% quantile for new scans like the site's own.
    """

    distance: float | None

    @property
    def out_of_distribution(self) -> bool | None:
        """True if the scan differs from the scans of every training site; None if unknown."""
        return None if self.distance is None else self.distance > 1


@dataclass(frozen=True)
class Prediction(_Compared):
    """The prediction for one scan, of two classes.

    Attributes:
        scan: The scan's file.
        name: The end of its path that distinguishes it from the other scans.
        probability: Probability of the positive class.
        positive: Whether the probability reaches the run's threshold; None if the run has none.
        nearest_site: The training site with the most similar features; None if no site sent feature statistics.
        distance: Distance to that site, relative to the 95% quantile for new scans like the site's own; above 1, the
            scan is out of distribution for every site. None if `nearest_site` is.
        known: Where the scan was in the run; None if it was not, or that is not known here.
        recalibrated: The probability after the run's recalibration, on the same side of the recalibrated threshold;
            None if the run has no recalibration that keeps the order of probabilities.
    """

    scan: Path
    name: str
    probability: float
    positive: bool | None
    nearest_site: str | None
    distance: float | None
    recalibrated: float | None = None
    known: KnownScan | None = None


@dataclass(frozen=True)
class ClassPrediction(_Compared):
    """The prediction for one scan, of three or more classes; other attributes as those of `Prediction`.

    Attributes:
        probabilities: Class → its probability, in the order of the classes.
    """

    scan: Path
    name: str
    probabilities: Mapping[str, float]
    nearest_site: str | None
    distance: float | None
    known: KnownScan | None = None

    @property
    def predicted(self) -> str:
        """The class with the highest probability, the first of several."""
        return self.likeliest[0]

    @property
    def likeliest(self) -> tuple[str, str]:
        """The two classes with the highest probabilities; of equal ones, those that come first."""
        first, second, *_ = sorted(self.probabilities, key=lambda name: -self.probabilities[name])
        return first, second


@dataclass(frozen=True)
class NumberPrediction(_Compared):
    """The predicted number of one scan, in the unit of the target; other attributes as those of `Prediction`."""

    scan: Path
    name: str
    number: float
    nearest_site: str | None
    distance: float | None
    known: KnownScan | None = None


AnyPrediction = Prediction | ClassPrediction | NumberPrediction
Nearest = tuple[float, str] | None
"""Distance to the most similar training site, and its name; None if it is not known."""


def prediction_of(
    outputs: torch.Tensor,
    outcome: Outcome,
    scan: Path,
    name: str = "",
    nearest: Nearest = None,
    threshold: float | None = None,
    scaling: PlattScaling | None = None,
    known: KnownScan | None = None,
) -> AnyPrediction:
    """Convert a model's outputs (1, k) to the prediction for a scan.

    Args:
        outputs: The outputs.
        outcome: What the model predicts.
        scan: The scan's file.
        name: Its name; by default that of the file.
        nearest: The most similar training site.
        threshold: Of two classes, the probability from which a scan is positive.
        scaling: Of two classes, the recalibration of probabilities.
        known: Where the scan was in the run.
    """
    (distance, site), name = nearest or (None, None), name or scan.name
    if isinstance(outcome, NumberOutcome):
        (number,) = outcome.predict(outputs.double().numpy()).tolist()
        return NumberPrediction(scan, name, number, site, distance, known)
    probabilities = torch.softmax(outputs.double(), dim=1)[0].tolist()
    if not outcome.is_binary:
        by_class = dict(zip(outcome.names, probabilities, strict=True))
        return ClassPrediction(scan, name, by_class, site, distance, known)
    probability = probabilities[1]
    positive = None if threshold is None else probability >= threshold
    recalibrated = recalibrate(scaling, probability, threshold)
    return Prediction(scan, name, probability, positive, site, distance, recalibrated, known)


def require_no_other_file(path: Path) -> None:
    """Check that a file which `write_predictions_of` would replace is such a table itself.

    Raises:
        InputError: If it is a folder or another file, such as the table of participants.
    """
    if not path.exists():
        return
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            columns = tuple(file.readline(4096).rstrip("\n").split("\t"))
        if columns[:1] == (_SCAN,) and columns[-len(_COMPARED) :] == _COMPARED:
            return
    raise InputError(f"{path}: exists and is no table of predictions, so it is not replaced; give another file")


def write_predictions_of(
    predictions: Sequence[AnyPrediction], path: Path, outcome: Outcome, why_unknown: str = ""
) -> None:
    """Write a TSV with one row per scan; unknown values are ``n/a``, as in BIDS.

    Args:
        predictions: The predictions.
        path: The file.
        outcome: What the model predicts.
        why_unknown: Why it is not known whether scans are out of distribution; empty if it is.
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow((_SCAN, *_columns(outcome), *_COMPARED))
    for prediction in predictions:
        why = why_unknown if prediction.distance is None and why_unknown else None
        compared = (prediction.out_of_distribution, prediction.nearest_site, prediction.distance, why)
        values = ("n/a" if value is None else value for value in (*_cells(prediction), *compared))
        cells = (table_cell(value) if isinstance(value, str) else value for value in values)
        writer.writerow((table_cell(str(prediction.scan)), *cells))
    write_text(path, text.getvalue())


def _columns(outcome: Outcome) -> tuple[str, ...]:
    if isinstance(outcome, NumberOutcome):
        return (outcome.column,)
    if outcome.is_binary:
        return ("probability", "recalibrated", "positive")
    return ("predicted", *(f"probability_{name}" for name in outcome.names))


def _cells(prediction: AnyPrediction) -> tuple[Cell, ...]:
    if isinstance(prediction, NumberPrediction):
        return (prediction.number,)
    if isinstance(prediction, Prediction):
        return prediction.probability, prediction.recalibrated, prediction.positive
    return prediction.predicted, *prediction.probabilities.values()
