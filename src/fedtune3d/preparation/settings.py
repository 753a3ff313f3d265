"""What is done to a scan on its way to the encoder."""

from dataclasses import dataclass
from typing import Literal

from fedtune3d.models.encoders.contract import InputSpec, Intensity
from fedtune3d.preparation.brain import Device
from fedtune3d.preparation.recognition import STEPS, Step


@dataclass(frozen=True)
class PreparationSettings:
    """How a scan becomes the model's input.

    Attributes:
        steps: Which of `recognition.STEPS` every scan shall have behind it, in any order; those that BIDS says are done
            are not done again. ``auto``: all for a head with its skull, none for a brain.
        intensity: How voxels are brought onto a common scale; see `intensity.normalise_intensity`.
        device: Where brains are extracted.
        size: Voxels of the prepared grid along each axis.
        spacing_mm: Their size.
    """

    steps: Literal["auto"] | tuple[Step, ...] = "auto"
    intensity: Intensity = InputSpec().intensity
    device: Device = "cpu"
    size: int = InputSpec().size
    spacing_mm: float = InputSpec().spacing_mm

    def causes(self) -> dict[str, str | int | float | list[str]]:
        """All that a prepared scan follows from, besides the scan, as JSON values; the steps in the order taken."""
        steps: str | list[str] = "auto" if self.steps == "auto" else [step for step in STEPS if step in self.steps]
        return {
            "size": self.size,
            "spacing_mm": self.spacing_mm,
            "steps": steps,
            "intensity": self.intensity,
            "device": self.device,
        }


DEFAULT_SETTINGS = PreparationSettings()
