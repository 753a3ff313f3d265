"""The header of an exported file: which model it holds, and what the model takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fedtune3d.cohorts.records import LabelMapping
from fedtune3d.federation.environment import TracedWeights
from fedtune3d.preparation.prepare_scan import PREPARATION_VERSION
from fedtune3d.preparation.prepared_scan import BACKGROUND
from fedtune3d.preparation.recognition import STEPS
from fedtune3d.preparation.settings import PreparationSettings

FORMAT = 2
"""Raised whenever a file of the format before could be read wrongly."""


@dataclass(frozen=True)
class InputFormat:
    """How scans are prepared for the model.

    Attributes:
        size: Voxels along each axis.
        spacing_mm: Their size.
        steps: Preparation steps, as in the experiment file.
        intensity: Normalisation, as in the experiment file.
        background: Value outside the brain.
        version: Of the preparation; another one gives other voxels.
    """

    size: int
    spacing_mm: float
    steps: Literal["auto"] | tuple[str, ...]
    intensity: str
    background: float
    version: int

    @classmethod
    def of(cls, settings: PreparationSettings) -> "InputFormat":
        """The format that this version of the program prepares with these settings."""
        chosen = settings.steps
        return cls(
            size=settings.size,
            spacing_mm=settings.spacing_mm,
            steps="auto" if chosen == "auto" else tuple(step for step in STEPS if step in chosen),
            intensity=settings.intensity,
            background=BACKGROUND,
            version=PREPARATION_VERSION,
        )


@dataclass(frozen=True)
class ClassLabels:
    """The diagnoses (or the one rule on columns) that count as positive and as negative."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]

    @classmethod
    def of(cls, mapping: LabelMapping) -> "ClassLabels":
        """The labels of a site; a rule becomes the only entry."""
        positive, negative = (
            (wanted,) if isinstance(wanted, str) else wanted for wanted in (mapping.positive, mapping.negative)
        )
        return cls(positive, negative)


@dataclass(frozen=True)
class ExportInfo:
    """What the header of an exported file says of the model in it.

    Attributes:
        format: Of the file.
        contains: ``model``, ``head`` or ``encoder``.
        fedtune3d: The version that wrote it.
        experiment: The experiment's name.
        encoder: As in the experiment file.
        head: As in the experiment file; ``resnet18`` for the reference of this name, which has none.
        tuning: What was trained.
        rule: The aggregation rule.
        best_round: The round of the state, chosen by validation; None where no round was.
        preparation: How scans are prepared for it.
        labels: Site → its classes. Of the two logits of a scan the second is the positive class's; its probability is
            their softmax.
        threshold: Probabilities from it up count as positive; chosen on validation scans, None where there were none.
        weights: Of the encoder, before training.
        simulated: Whether any site's scans were simulated.
        layers_of: The site whose own layers the file holds, where each site kept some (FedBN); None otherwise.
        state_sha256: Of the tensors in the file (`state_dicts.state_sha256`).
    """

    format: int
    contains: str
    fedtune3d: str
    experiment: str
    encoder: str
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
