"""What is done to a scan on its way to the encoder."""

from dataclasses import dataclass
from typing import Literal

from fedtune3d.preparation.brain import Device
from fedtune3d.preparation.intensity import Intensity
from fedtune3d.preparation.recognition import Step


@dataclass(frozen=True)
class PreparationSettings:
    """What is done to a scan.

    Attributes:
        size: Voxels of the prepared grid along each axis.
        spacing_mm: Their size.
        steps: Which of `raw.recognition.STEPS` every scan shall have behind it; those that BIDS says are done are not
            done again. ``auto``: all for a head with its skull, none for a brain.
        intensity: How voxels are brought onto a common scale; see `intensity.normalise_intensity`.
        device: Where brains are extracted.
    """

    size: int = 128
    spacing_mm: float = 1.5
    steps: Literal["auto"] | tuple[Step, ...] = "auto"
    intensity: Intensity = "zscore"
    device: Device = "cpu"


DEFAULT_SETTINGS = PreparationSettings()
