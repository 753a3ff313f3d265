"""An exported model in use: from a NIfTI file to what the model says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from fedtune3d.config.preparation import PreparationSection
from fedtune3d.evaluation.outcome import ClassOutcome
from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.models.assembly import input_spec
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.report.export_info import ExportInfo
from fedtune3d.training.prediction import as_input


@dataclass(frozen=True)
class ExportedPrediction:
    """The prediction of an exported model for a scan.

    Attributes:
        probabilities: Class → its probability; empty if the model predicts a number.
        recalibrated: Probability of the positive class after the run's recalibration; None if there is none, or it
            would reverse the classes.
        predicted: The class: of two, by the run's threshold; of more, the most probable one. None without a threshold,
            or for a number.
        number: The number in its unit; None if the model predicts classes.
    """

    probabilities: Mapping[str, float]
    recalibrated: float | None
    predicted: str | None
    number: float | None


class ExportedModel(NamedTuple):
    """An exported model and the header of its file.

    Attributes:
        model: Prepared scans (B, 1, s, s, s) → outputs (B, k), in evaluation mode on the CPU.
        info: What it expects, and what its outputs mean.
    """

    model: nn.Module
    info: ExportInfo

    def prepare(self, scan: Path) -> PreparedScan:
        """Prepare a scan as the model's training scans were prepared. Raises `ScanError` if that is impossible."""
        return prepare_scan(scan, settings_of(self.info))

    def predict(self, scan: Path) -> ExportedPrediction:
        """Prepare a NIfTI file, with or without skull, and predict it.

        Raises:
            ScanError: If the file cannot be read or prepared.
        """
        with torch.inference_mode():
            outputs = self.model(as_input(self.prepare(Path(scan)))).double().numpy()
        outcome, values = self.info.outcome, self.info.outcome.predict(outputs)[0]
        if not isinstance(outcome, ClassOutcome):
            return ExportedPrediction({}, None, None, float(values))
        if not outcome.is_binary:
            probabilities = dict(zip(outcome.names, values.tolist(), strict=True))
            return ExportedPrediction(
                probabilities, None, max(probabilities, key=lambda name: probabilities[name]), None
            )
        (negative, positive), probability, threshold = outcome.names, float(values), self.info.threshold
        predicted = None if threshold is None else positive if probability >= threshold else negative
        recalibrated = recalibrate(self.info.recalibration, probability, threshold)
        return ExportedPrediction({negative: 1 - probability, positive: probability}, recalibrated, predicted, None)


def settings_of(info: ExportInfo) -> PreparationSettings:
    """Return the settings with which the model's scans are prepared."""
    wanted = info.preparation
    settings = PreparationSection().settings(input_spec(info.encoder))
    section = PreparationSection.model_validate({"steps": wanted.steps, "intensity": wanted.intensity})
    own = section.settings(input_spec(info.encoder))
    return replace(settings, steps=own.steps, intensity=own.intensity, size=wanted.size, spacing_mm=wanted.spacing_mm)


def recalibrate(scaling: PlattScaling | None, probability: float, threshold: float | None) -> float | None:
    """Return the probability after recalibration, on the same side of the recalibrated threshold.

    None without a recalibration, or with one that would reverse the order of probabilities.
    """
    if scaling is None or not scaling.keeps_order:
        return None
    return scaling.probability(probability) if threshold is None else scaling.probability_beside(probability, threshold)
