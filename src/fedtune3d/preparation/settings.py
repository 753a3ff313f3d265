"""What is done to a scan on its way to the encoder."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from fedtune3d._utils.strict import STRICT
from fedtune3d.models.encoders.input_grid import SIZE, SPACING_MM
from fedtune3d.preparation.brain import Device
from fedtune3d.preparation.intensity import Intensity
from fedtune3d.preparation.recognition import STEPS, Step


@dataclass(frozen=True)
class PreparationSettings:
    """How a scan becomes the model's input.

    Class attributes:
        size: Voxels of the prepared grid along each axis.
        spacing_mm: Their size.

    Attributes:
        steps: Which of `recognition.STEPS` every scan shall have behind it, in any order; those that BIDS says are done
            are not done again. ``auto``: all for a head with its skull, none for a brain.
        intensity: How voxels are brought onto a common scale; see `intensity.normalise_intensity`.
        device: Where brains are extracted.
    """

    __pydantic_config__ = STRICT
    size: ClassVar[int] = SIZE
    spacing_mm: ClassVar[float] = SPACING_MM

    steps: Literal["auto"] | tuple[Step, ...] = "auto"
    intensity: Intensity = "zscore"
    device: Device = "cpu"

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
