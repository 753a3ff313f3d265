"""A run's model on new scans: how likely the positive class is, and whether a scan is like the training scans."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.state_dicts import load_state
from fedtune3d.config.experiment import Experiment
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.feature_statistics import FeatureStatistics
from fedtune3d.models.pooling import pool_features
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.workflows.export import trained_model


@dataclass(frozen=True)
class Prediction:
    """What a run's model says of one scan.

    Attributes:
        scan: Its file.
        name: As much of its path as tells it from the other scans.
        probability: Of the positive class.
        positive: Whether that reaches the run's threshold; None where the run has none.
        nearest_site: The training site whose scans' features are nearest to this scan's; None where no site sent any.
        distance: To that site, over the distance that 95 % of new scans like its own stay below; above 1 the scan is
            out of distribution for every site. None as `nearest_site`.
    """

    scan: Path
    name: str
    probability: float
    positive: bool | None
    nearest_site: str | None
    distance: float | None

    @property
    def out_of_distribution(self) -> bool | None:
        """Whether the scan is unlike the scans of every training site; None where that is not known."""
        return None if self.distance is None else self.distance > 1


class Predictor:
    """The best state of a finished run, for new scans.

    Args:
        run_folder: Of a finished run.
        weights: The checkpoint that the run began with, where it began with one.
        site: Whose layers to use, where each site kept some of its own (FedBN).

    Attributes:
        model: Prepared scans (B, 1, s, s, s) → logits (B, 2), in evaluation mode on the CPU.
        metrics: The run's.
        threshold: Probabilities from it up are positive; None where there were no validation scans.

    Raises:
        InputError: If the run is not complete, or the weights are not the run's.
    """

    def __init__(self, run_folder: Path, weights: Path | None = None, site: str | None = None) -> None:
        contents, assembled = trained_model(run_folder, weights, site)
        self.model: nn.Module = assembled.model
        self.experiment = Experiment.model_validate(contents.config)
        self.metrics = contents.metrics
        self.threshold = contents.metrics.federated.threshold
        self.usual = _read_feature_statistics(RunFolder(run_folder), contents.sites)
        torch.set_num_threads(self.experiment.threads)

    def prepare(self, scan: Path) -> PreparedScan:
        """The scan as the run's own scans were prepared. Raises `ScanError` where that cannot be done."""
        return prepare_scan(scan, self.experiment.preparation_settings)

    def predict(self, scan: Path, prepared: PreparedScan, name: str = "") -> Prediction:
        """What the model says of a prepared scan; its name is that of its file unless given."""
        with torch.inference_mode():
            logits, features = self._look(as_input(prepared))
        probability = float(torch.softmax(logits.double(), dim=1)[0, 1])
        positive = None if self.threshold is None else probability >= self.threshold
        nearest = None if features is None else min(self._distances(features), default=None)
        distance, site = nearest or (None, None)
        return Prediction(scan, name or scan.name, probability, positive, site, distance)

    def _look(self, scan: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits, and the features under them where the model has an encoder apart from its head."""
        if not isinstance(self.model, Classifier):
            return self.model(scan), None
        last = self.model.stage_count - 1
        features = self.model.run_stages(scan, 0, last)
        return self.model.run_stages(features, last, last + 1), features

    def _distances(self, features: torch.Tensor) -> Iterator[tuple[float, str]]:
        (pooled,) = pool_features(features)
        for site, usual in self.usual.items():
            yield usual.distance(pooled) / usual.limit, site


def as_input(prepared: PreparedScan) -> torch.Tensor:
    """A prepared scan as the model takes it, (1, 1, s, s, s) float32."""
    return torch.from_numpy(np.asarray(prepared.voxels, dtype=np.float32))[None, None]


def predict_scans(
    predictor: Predictor,
    scans: Sequence[Path],
    progress: Callable[[int, int], None] | None = None,
    explain: Callable[[Prediction, PreparedScan], None] | None = None,
) -> list[Prediction]:
    """What the run's model says of each scan, in the given order.

    Args:
        predictor: The run's model.
        scans: NIfTI files, raw heads or brains, as the run's preparation takes them.
        progress: Called with (scans done, scans in all).
        explain: Called with each prediction and its prepared scan.

    Raises:
        InputError: At the first file that is missing or cannot be prepared, or is given twice; names it.
    """
    missing = [scan for scan in scans if not scan.is_file()]
    if missing:
        raise InputError(f"{', '.join(map(str, missing))}: no such file; give the paths of NIfTI scans")
    names, predictions = distinct_names(scans), []
    for done, scan in enumerate(scans, start=1):
        prepared = predictor.prepare(scan)
        predictions.append(predictor.predict(scan, prepared, names[done - 1]))
        if explain is not None:
            explain(predictions[-1], prepared)
        if progress is not None:
            progress(done, len(scans))
    return predictions


def distinct_names(scans: Sequence[Path]) -> list[str]:
    """As much of the end of each path as makes them differ: ``t1.nii.gz``, or ``p1/t1.nii.gz`` and ``p2/t1.nii.gz``.

    Raises:
        InputError: If a scan is given twice.
    """
    whole = [scan.resolve() for scan in scans]
    twice = [scan for scan in scans if whole.count(scan.resolve()) > 1]
    if twice:
        raise InputError(f"{twice[0]}: given twice; give each scan once")
    for parts in range(1, 1 + max((len(path.parts) for path in whole), default=0)):
        names = ["/".join(path.parts[-parts:]) for path in whole]
        if len(set(names)) == len(names):
            return names
    return []


def write_predictions_of(predictions: Sequence[Prediction], path: Path) -> None:
    """Write a TSV with a line for each scan; what is not known is ``n/a``, as in BIDS."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(("scan", "probability", "positive", "out_of_distribution", "nearest_site", "distance"))
    for found in predictions:
        row = (found.positive, found.out_of_distribution, found.nearest_site, found.distance)
        writer.writerow((found.scan, found.probability, *("n/a" if value is None else value for value in row)))
    write_text(path, text.getvalue())


def _read_feature_statistics(run: RunFolder, sites: Sequence[str]) -> dict[str, FeatureStatistics]:
    """By site, of those that sent any."""
    paths = {site: run.feature_statistics(site) for site in sites}
    try:
        return {site: FeatureStatistics.from_state(load_state(path)) for site, path in paths.items() if path.exists()}
    except KeyError as error:
        raise InputError(
            f"{run.feature_statistics_folder}: damaged, {error} is missing; copy the run folder again"
        ) from None
