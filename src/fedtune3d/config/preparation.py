"""The `preparation` of an experiment file: the encoder says how scans are prepared, and the file may say otherwise."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from fedtune3d._utils.json_values import Json
from fedtune3d._utils.ranges import Number, Whole
from fedtune3d._utils.strict import StrictModel
from fedtune3d.models.encoders.contract import InputSpec, Intensity
from fedtune3d.preparation.brain import Device
from fedtune3d.preparation.recognition import STEPS, Step
from fedtune3d.preparation.settings import PreparationSettings


class PreparationSection(StrictModel):
    """Settings of the preparation of scans; omitted keys are those of the encoder.

    Attributes:
        steps: Steps that every scan must have behind it; ``auto``, the default of most encoders, means all of them for
            a head with its skull and none for a brain.
        intensity: Scale of the voxels' values.
        size: Voxels along each axis of the grid.
        spacing_mm: Size of a voxel in mm.
        device: Where brains are extracted.
    """

    steps: Literal["auto"] | tuple[Step, ...] | None = None
    intensity: Intensity | None = None
    size: Annotated[Whole, Field(ge=32, le=512, multiple_of=8)] | None = None
    spacing_mm: Annotated[Number, Field(ge=0.5, le=4, allow_inf_nan=False)] | None = None
    device: Device = "cpu"

    def input(self, wanted: InputSpec) -> InputSpec:
        """Return the encoder's input: its own specification, overridden by the keys of the file."""
        return replace(
            wanted,
            size=self.size or wanted.size,
            spacing_mm=self.spacing_mm or wanted.spacing_mm,
            intensity=self.intensity or wanted.intensity,
        )

    def settings(self, wanted: InputSpec) -> PreparationSettings:
        """Return the preparation settings for an encoder with this input specification."""
        spec = self.input(wanted)
        of_encoder: Literal["auto"] | tuple[Step, ...] = STEPS if wanted.space == "mni" else "auto"
        return PreparationSettings(
            steps=of_encoder if self.steps is None else self.steps,
            intensity=spec.intensity,
            device=self.device,
            size=spec.size,
            spacing_mm=spec.spacing_mm,
        )

    def public(self, wanted: InputSpec) -> dict[str, Json]:
        """Return the section as JSON values with the encoder's defaults; the grid only if the file sets it."""
        settings = self.settings(wanted)
        steps: Json = "auto" if settings.steps == "auto" else list(settings.steps)
        grid: dict[str, Json] = {"size": self.size, "spacing_mm": self.spacing_mm}
        overridden = {key: value for key, value in grid.items() if value is not None}
        return {"steps": steps, "intensity": settings.intensity, "device": settings.device, **overridden}

    def departures(self, encoder: str, wanted: InputSpec) -> list[str]:
        """One sentence per key that gives the encoder other scans than those that it was trained on."""
        own, wants = self.settings(wanted), PreparationSection().settings(wanted)
        pairs = [
            ("size", own.size, wants.size),
            ("spacing_mm", own.spacing_mm, wants.spacing_mm),
            ("intensity", own.intensity, wants.intensity),
        ]
        return [
            f"preparation.{key}: encoder {encoder} takes {theirs}, the file says {ours}; released weights may not fit"
            for key, ours, theirs in pairs
            if ours != theirs
        ]
