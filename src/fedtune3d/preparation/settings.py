"""Settings of the preparation of scans."""

from dataclasses import dataclass
from typing import Literal

from fedtune3d.models.encoders.contract import InputSpec, Intensity
from fedtune3d.preparation.brain import Device
from fedtune3d.preparation.recognition import STEPS, Step


@dataclass(frozen=True)
class PreparationSettings:
    """Settings with which a scan becomes the model's input.

    Attributes:
        steps: The steps in `recognition.STEPS` that every scan must have had, in any order; those that are done
            according to BIDS are not repeated. ``auto``: all for a head with its skull, none for a brain.
        intensity: Intensity normalisation; see `intensity.normalise_intensity`.
        device: Device for brain extraction.
        size: Number of voxels of the prepared grid along each axis.
        spacing_mm: Voxel size.
    """

    steps: Literal["auto"] | tuple[Step, ...] = "auto"
    intensity: Intensity = InputSpec().intensity
    device: Device = "cpu"
    size: int = InputSpec().size
    spacing_mm: float = InputSpec().spacing_mm

    def causes(self) -> dict[str, str | int | float | list[str]]:
        """Return everything that determines a prepared scan besides the scan, as JSON values; steps in order."""
        steps: str | list[str] = "auto" if self.steps == "auto" else [step for step in STEPS if step in self.steps]
        return {
            "size": self.size,
            "spacing_mm": self.spacing_mm,
            "steps": steps,
            "intensity": self.intensity,
            "device": self.device,
        }


DEFAULT_SETTINGS = PreparationSettings()
