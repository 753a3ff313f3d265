"""Predict new scans with a run's model, and detect those that differ from the training scans."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.memory import keep_freed_memory
from fedtune3d._utils.process_pool import run_in_processes
from fedtune3d._utils.state_dicts import load_state
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.handover import install_files, installed_files
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.feature_statistics import FeatureStatistics
from fedtune3d.models.pooling import pool_features
from fedtune3d.preparation.prepare_all import use_one_thread
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.report.result_warnings import result_warnings
from fedtune3d.training.prediction import as_input
from fedtune3d.workflows.export import trained_model
from fedtune3d.workflows.known_scans import KnownScans
from fedtune3d.workflows.missing_statistics import why_no_statistics
from fedtune3d.workflows.scan_predictions import AnyPrediction, prediction_of


class Predictor:
    """Predicts new scans with the best state of a finished run.

    Args:
        run_folder: Folder of a finished run.
        weights: The checkpoint that the run started from, if any.
        site: The site whose layers to use, if each site kept some of its own (FedBN).

    Attributes:
        model: Prepared scans (B, 1, s, s, s) → outputs (B, k), in evaluation mode on the CPU.
        metrics: The run's metrics.
        outcome: What the model predicts.
        threshold: Probabilities at or above it are positive; None if there were no validation scans, or the outcome is
            not one of two classes.
        scaling: The run's recalibration on validation scans; None without `evaluation.recalibration`.
        known: The scans of the run, as far as they are known here.
        names: The names of the classes.
        warnings: Those of the run's results, such as that training did not help, which apply to every prediction.

    Raises:
        InputError: If the run is not complete, the weights are not the run's, or this program's features are not those
            that it was trained on.
    """

    def __init__(self, run_folder: Path, weights: Path | None = None, site: str | None = None) -> None:
        self.source = _Source(run_folder, weights, site, installed_files())
        contents, assembled = trained_model(run_folder, weights, site)
        self.model: nn.Module = assembled.model
        self.experiment = Experiment.model_validate(contents.config)
        self.metrics = contents.metrics
        self.outcome = contents.metrics.outcome
        federated = contents.metrics.federated if self.outcome.is_binary else None
        self.threshold = federated.threshold if federated else None
        self.scaling = federated.scaling if federated else None
        self.statistics = _read_feature_statistics(RunFolder(run_folder), contents.sites)
        self._why_no_statistics = why_no_statistics(contents, self.experiment)
        self.known = KnownScans(RunFolder(run_folder))
        self.names = contents.names
        self.warnings = result_warnings(self.metrics, self.names, contents.ledger)
        torch.set_num_threads(self.experiment.threads)
        keep_freed_memory()

    def prepare(self, scan: Path) -> PreparedScan:
        """Prepare a scan as the run's scans were prepared. Raises `ScanError` if that is impossible."""
        return prepare_scan(scan, self.experiment.preparation_settings)

    def predict(self, scan: Path, prepared: PreparedScan, name: str = "") -> AnyPrediction:
        """Predict a prepared scan; by default, its name is that of its file."""
        with torch.inference_mode():
            outputs, features = self._outputs_and_features(as_input(prepared))
        nearest = None if features is None else min(self._distances(features), default=None)
        return prediction_of(
            outputs, self.outcome, scan, name, nearest, self.threshold, self.scaling, self.known.find(scan)
        )

    @property
    def why_unlike_unknown(self) -> str:
        """Why it is not known whether scans are like the training scans; empty if it is."""
        if not isinstance(self.model, Classifier):
            return "the model has no encoder of its own, whose features could be compared"
        return "" if self.statistics else self._why_no_statistics

    def _outputs_and_features(self, scan: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute the outputs, and the encoder's features if the model has a separate encoder."""
        if not isinstance(self.model, Classifier):
            return self.model(scan), None
        last = self.model.stage_count - 1
        features = self.model.run_stages(scan, 0, last)
        return self.model.run_stages(features, last, last + 1), features

    def _distances(self, features: torch.Tensor) -> Iterator[tuple[float, str]]:
        (pooled,) = pool_features(features)
        for site, statistics in self.statistics.items():
            yield statistics.distance(pooled) / statistics.limit, site


def predict_scans(
    predictor: Predictor,
    scans: Sequence[Path],
    progress: Callable[[int, int], None] | None = None,
    explain: Callable[[AnyPrediction, PreparedScan], None] | None = None,
    workers: int = 1,
) -> list[AnyPrediction]:
    """Predict scans with a run's model, in the given order.

    Args:
        predictor: The run's model.
        scans: NIfTI files, of heads or brains, as supported by the run's preparation.
        progress: Called with (scans done, total scans).
        explain: Called with each prediction and its prepared scan; only with one worker.
        workers: Number of processes that prepare and predict, each with the run's threads and a model of its own. The
            predictions have the same bits for any number.

    Raises:
        InputError: If a file is missing, given twice or cannot be prepared, with its name.
        MachineError: If a process is killed.
    """
    missing = [scan for scan in scans if not scan.is_file()]
    if missing:
        raise InputError(f"{', '.join(map(str, missing))}: no such file; give the paths of NIfTI scans")
    if explain is not None and workers > 1:
        raise InputError(
            "--workers: saliency maps are computed one scan after another; leave --workers or --explain out"
        )
    predictions: list[AnyPrediction] = []
    for prediction in _predictions(predictor, scans, distinct_names(scans), explain, workers):
        predictions.append(prediction)
        if progress is not None:
            progress(len(predictions), len(scans))
    return predictions


def _predictions(
    predictor: Predictor,
    scans: Sequence[Path],
    names: Sequence[str],
    explain: Callable[[AnyPrediction, PreparedScan], None] | None,
    workers: int,
) -> Iterator[AnyPrediction]:
    """Yield the prediction of each scan, in order."""
    if workers == 1 or len(scans) < 2:
        for scan, name in zip(scans, names, strict=True):
            prepared = predictor.prepare(scan)
            prediction = predictor.predict(scan, prepared, name)
            if explain is not None:
                explain(prediction, prepared)
            yield prediction
        return
    jobs = [partial(_predict_in_worker, predictor.source, scan, name) for scan, name in zip(scans, names, strict=True)]
    with closing(run_in_processes(jobs, min(workers, len(scans)), use_one_thread, "predicts scans")) as predictions:
        yield from predictions


@dataclass(frozen=True)
class _Source:
    """The arguments from which a process loads the same model: as in `Predictor`, and the installed encoders' files."""

    run_folder: Path
    weights: Path | None
    site: str | None
    encoders: Mapping[str, str] = field(hash=False)


@lru_cache(maxsize=1)
def _predictor_of(source: _Source) -> Predictor:
    """The model of this process, which is one of several that predict; loaded once."""
    install_files(source.encoders)
    return Predictor(source.run_folder, source.weights, source.site)


def _predict_in_worker(source: _Source, scan: Path, name: str) -> AnyPrediction:
    predictor = _predictor_of(source)
    return predictor.predict(scan, predictor.prepare(scan), name)


def distinct_names(scans: Sequence[Path]) -> list[str]:
    """Return the shortest distinct ends of paths: ``t1.nii.gz``, or ``p1/t1.nii.gz`` and ``p2/t1.nii.gz``.

    Raises:
        InputError: If a scan is given twice.
    """
    paths = [scan.resolve() for scan in scans]
    times = Counter(paths)
    for scan, path in zip(scans, paths, strict=True):
        if times[path] > 1:
            raise InputError(f"{scan}: given twice; give each scan once")
    for parts in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return []


def _read_feature_statistics(run: RunFolder, sites: Sequence[str]) -> dict[str, FeatureStatistics]:
    """Read the feature statistics of the sites that sent them."""
    paths = {site: run.feature_statistics(site) for site in sites}
    try:
        return {site: FeatureStatistics.from_state(load_state(path)) for site, path in paths.items() if path.exists()}
    except KeyError as error:
        raise InputError(
            f"{run.feature_statistics_folder}: damaged, {error} is missing; copy the run folder again"
        ) from None
