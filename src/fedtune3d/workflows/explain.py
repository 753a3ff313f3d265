"""Saliency maps of a run's model, in the scan's own space and as a picture."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import atomic_path
from fedtune3d._utils.folders import ExportFolder
from fedtune3d._utils.folders.export import scan_stem
from fedtune3d._utils.progress import Progress
from fedtune3d._utils.seeds import derive_seed
from fedtune3d.config.class_names import class_title
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.explanation import grad_cam, occlusion, similarity
from fedtune3d.models.heads import build_head
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.preparation.scan_space import to_scan_space
from fedtune3d.report import caveat
from fedtune3d.report.figures.saliency import draw_saliency
from fedtune3d.report.number_formatting import probability_text
from fedtune3d.training.prediction import as_input
from fedtune3d.workflows.predict import Predictor
from fedtune3d.workflows.scan_predictions import AnyPrediction, ClassPrediction, NumberPrediction

_UNLIKE = "The scan is unlike the training scans of every site: do not use its prediction, nor the map."


@dataclass(frozen=True)
class Explanation:
    """Saliency maps on the prepared grid, (s, s, s) float32, 0 outside the brain.

    Attributes:
        grad_cam: See `models.explanation.grad_cam`; interpolated linearly from the feature positions. None if
            the encoder's features are a vector, which has no positions.
        occlusion: See `models.explanation.occlusion`. None if it was not asked for.
        random_similarity: Correlation of the Grad-CAM map with that of the same encoder under a random head. Near 1,
            the map shows the scan, not what the head has learnt (Adebayo et al. 2018, arXiv 1810.03292). None without
            a Grad-CAM map.
        place_mm: Resolution of the maps.
    """

    grad_cam: np.ndarray | None
    occlusion: np.ndarray | None
    random_similarity: float | None
    place_mm: float


def explain_scan(
    predictor: Predictor,
    prepared: PreparedScan,
    progress: Callable[[int, int], None] | None = None,
    of: int | None = None,
    occluded: bool = False,
) -> Explanation:
    """Compute the saliency maps of a prepared scan.

    Args:
        predictor: The run's model.
        prepared: The scan.
        progress: Called with (cubes occluded, total cubes).
        of: The index of the class that the maps are evidence for; None for the last one.
        occluded: Whether to compute the occlusion map, too, a forward pass for each of its cubes, of which a brain has
            about 200. It is always computed if the features are a vector, as there is no other map then.

    Raises:
        InputError: If the model has no separate encoder, or its head has no trained parameters (NCC).
    """
    model, head = predictor.model, predictor.experiment.head_name()
    if not isinstance(model, Classifier) or not any(True for _ in model.head.parameters()):
        raise InputError(f"--explain: expected a trained head on an encoder, but the run's model is {head}")
    scan, brain = as_input(prepared), torch.from_numpy(prepared.brain)
    stride = predictor.experiment.map_stride
    place_mm = stride * predictor.experiment.input.spacing_mm
    is_vector = model.encoder.spec.features.is_vector
    hidden = None
    if occluded or is_vector:
        coarsely_hidden = occlusion(model, scan, brain, stride, of=of, progress=progress)
        hidden = np.kron(coarsely_hidden, np.ones((stride,) * 3, np.float32)) * prepared.brain
    if is_vector:
        return Explanation(None, hidden, None, place_mm)
    with torch.no_grad():
        features = model.run_stages(scan, 0, model.stage_count - 1)
    coarse = grad_cam(model, features, of)
    seed, width = derive_seed("explain", predictor.experiment.seed), predictor.outcome.width
    drawn = build_head(head, model.encoder.out_channels, seed, width).eval()
    random = grad_cam(Classifier(model.encoder, drawn).eval(), features, of)
    fine = functional.interpolate(coarse[None, None], size=scan.shape[2:], mode="trilinear")[0, 0] * brain
    return Explanation(fine.numpy(), hidden, similarity(coarse, random), place_mm)


def explainer(
    predictor: Predictor, folder: Path, progress: Progress, wrote: Callable[[Path], None], occluded: bool = False
) -> Callable[[AnyPrediction, PreparedScan], None]:
    """Return the callback for `predict_scans` that computes and writes each scan's maps; `wrote` gets every path.

    `occluded` adds the occlusion map, which takes minutes (`explain_scan`). Of three or more classes, the maps show the
    evidence for the predicted one.
    """

    def explain(prediction: AnyPrediction, prepared: PreparedScan) -> None:
        """Compute and write the maps of one predicted scan."""
        of = (
            list(prediction.probabilities).index(prediction.predicted)
            if isinstance(prediction, ClassPrediction)
            else None
        )
        with progress.bar(f"explaining {prediction.name} (cubes hidden)") as advance:
            explanation = explain_scan(predictor, prepared, advance, of, occluded)
        warning, outcome = caveat(predictor.metrics), predictor.outcome
        towards = _towards(prediction, outcome) or predictor.names.positive
        title = _shown(prediction, outcome, predictor.names.positive)
        for path in write_explanation(prediction, prepared, explanation, folder, warning, towards, title):
            wrote(path)

    return explain


def write_explanation(
    prediction: AnyPrediction,
    prepared: PreparedScan,
    explanation: Explanation,
    folder: Path,
    warning: str = "",
    towards: str = "the positive class",
    title: str = "",
) -> list[Path]:
    """Write the maps as NIfTI on the grid of the scan's file, and a picture of them; returns the paths.

    `warning` is shown in the picture: whether scans were simulated or weights random (`report.caveat`); `towards` is
    what positive values favour, and `title` what was predicted.
    """
    files = ExportFolder(folder)
    written = []
    named = {"gradcam": ("Grad-CAM", explanation.grad_cam), "occlusion": ("Occlusion", explanation.occlusion)}
    maps = {name: (title, volume) for name, (title, volume) in named.items() if volume is not None}
    for name, (_, volume) in maps.items():
        written.append(files.explanation(prediction.name, name))
        with atomic_path(written[-1]) as partial:
            partial.write_bytes(_compressed(volume, prepared))
    written.append(files.explanation_picture(prediction.name))
    draw_saliency(
        np.asarray(prepared.voxels, dtype=np.float32),
        dict(maps.values()),
        f"{scan_stem(prediction.name)}: {title}",
        [
            f"The map's resolution is {explanation.place_mm:g} mm. "
            "Maps show what the model used, not where a disease is.",
            *([_UNLIKE] if prediction.out_of_distribution else []),
            *_check_with_random_head(explanation),
            *([warning] if warning else []),
        ],
        written[-1],
        towards,
    )
    return written


def _towards(prediction: AnyPrediction, outcome: Outcome) -> str:
    """Return what positive values of a map favour; empty for the positive of two classes."""
    if isinstance(prediction, ClassPrediction):
        return class_title(prediction.predicted)
    return f"a higher {outcome.column}" if isinstance(outcome, NumberOutcome) else ""


def _shown(prediction: AnyPrediction, outcome: Outcome, positive: str) -> str:
    if isinstance(prediction, NumberPrediction):
        assert isinstance(outcome, NumberOutcome)
        return f"{outcome.column} {outcome.shown(prediction.number)}"
    if isinstance(prediction, ClassPrediction):
        highest = probability_text(prediction.probabilities[prediction.predicted])
        return f"probability of {class_title(prediction.predicted)} {highest}"
    text = f"probability of {positive} {probability_text(prediction.probability)}"
    if prediction.recalibrated is None:
        return text
    return f"{text} (recalibrated {probability_text(prediction.recalibrated)})"


def _check_with_random_head(explanation: Explanation) -> list[str]:
    if explanation.random_similarity is None:
        return []
    return [
        f"Correlation of the Grad-CAM map with that of a head with random weights: {explanation.random_similarity:.2f}"
    ]


def _compressed(volume: np.ndarray, prepared: PreparedScan) -> bytes:
    return gzip.compress(to_scan_space(volume, prepared).to_bytes(), mtime=0)
