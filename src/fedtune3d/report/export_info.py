"""The header of an exported file: the model in it, its input and its output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fedtune3d.cohorts.labels import Truth
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.evaluation.outcome import BINARY, Outcome
from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.federation.environment import TracedWeights
from fedtune3d.models.encoders.contract import Intensity
from fedtune3d.preparation.prepare_scan import PREPARATION_VERSION
from fedtune3d.preparation.prepared_scan import BACKGROUND
from fedtune3d.preparation.recognition import STEPS, Step
from fedtune3d.preparation.settings import PreparationSettings

FORMAT = 4
"""Version of the file format; incremented whenever a file of the previous version would be misread."""


@dataclass(frozen=True)
class InputFormat:
    """Preparation that the model expects of its input scans.

    Attributes:
        size: Voxels along each axis.
        spacing_mm: Edge length of a voxel.
        steps: Preparation steps, as in the experiment file.
        intensity: Normalisation, as in the experiment file.
        background: Value outside the brain.
        version: Version of the preparation code; another version gives different voxels.
    """

    size: int
    spacing_mm: float
    steps: Literal["auto"] | tuple[Step, ...]
    intensity: Intensity
    background: float
    version: int

    @classmethod
    def of(cls, settings: PreparationSettings) -> "InputFormat":
        """Return the format that this version of the program produces with these settings."""
        chosen = settings.steps
        return cls(
            size=settings.size,
            spacing_mm=settings.spacing_mm,
            steps="auto" if chosen == "auto" else tuple(step for step in STEPS if step in chosen),
            intensity=settings.intensity,
            background=BACKGROUND,
            version=PREPARATION_VERSION,
        )


ClassLabels = Mapping[str, tuple[str, ...]]
"""Class → its diagnoses, or its label expression as the only entry."""


def class_labels(truth: Truth) -> ClassLabels:
    """Return the labels of a site, in the order of the classes; none where a number is predicted."""
    if isinstance(truth, NumberColumn):
        return {}
    return {name: (labels,) if isinstance(labels, str) else labels for name, labels in truth.classes.items()}


@dataclass(frozen=True)
class ExportInfo:
    """Description of an exported model, written to the header of its file.

    Attributes:
        format: Version of the file format.
        contains: ``model``, ``head`` or ``encoder``.
        fedtune3d: The version that wrote it.
        experiment: The experiment's name.
        encoder: As in the experiment file.
        encoder_version: See `FeatureVersions.encoder`.
        head: As in the experiment file; ``resnet18`` for the reference network of that name, which has no head.
        tuning: The tuning method: ``full``, ``frozen`` or ``lora``.
        rule: The aggregation rule.
        best_round: The round whose state is exported, chosen by validation; None without rounds.
        preparation: Preparation that the model expects of its input scans.
        labels: Site → its classes; empty where a number is predicted.
        threshold: Probabilities at or above it are positive; chosen on validation scans, None if there were none.
        weights: Origin of the encoder's weights before training.
        simulated: Whether any site's scans were simulated.
        layers_of: The site whose local layers the file holds, if each site keeps its own (FedBN); None otherwise.
        state_sha256: SHA-256 of the tensors in the file (`state_dicts.state_sha256`).
        recalibration: Platt scaling of the probabilities, fitted on validation scans; None if the run has none.
        encoder_sha256: SHA-256 of the encoder's file if it is not part of this package; else empty.
        outcome: What the model predicts. Of classes, its outputs are a logit for each, in their order, whose softmax
            gives the probabilities; of a number, the number in units of half the range around its middle.
    """

    format: int
    contains: str
    fedtune3d: str
    experiment: str
    encoder: str
    encoder_version: int
    head: str
    tuning: str
    rule: str
    best_round: int | None
    preparation: InputFormat
    labels: Mapping[str, ClassLabels]
    threshold: float | None
    weights: TracedWeights
    simulated: bool
    layers_of: str | None
    state_sha256: str
    recalibration: PlattScaling | None = None
    encoder_sha256: str = ""
    outcome: Outcome = BINARY
