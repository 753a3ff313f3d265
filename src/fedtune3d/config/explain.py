"""The configuration of saliency maps."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedtune3d._utils.ranges import Count, Whole
from fedtune3d._utils.strict import StrictModel
from fedtune3d._utils.user_paths import UserPath
from fedtune3d.preparation.atlas import FREESURFER_REGIONS


class ExplainSection(StrictModel):
    """Mean saliency maps of the final model over test scans of one class, one per site (docs/explain.md).

    Attributes:
        method: Explanation method; see `models/explanation.py`.
        scans: Maximum number of scans per site, one per person.
        steps: Number of points on the path of integrated gradients.
        atlas: A label map in MNI152 space, read by the server; defaults to `preparation.atlas.packaged_atlas`.
        regions: Name → labels in the atlas; by default FreeSurfer's.
        of: The class that the maps are evidence for, and whose people they are of; by default the last one, which of
            two is the positive one. Where a number is predicted, maps are of everyone and show what raises it.
    """

    method: Literal["gradcam", "occlusion", "integrated_gradients"]
    scans: Count = 20
    steps: Annotated[Whole, Field(ge=1, le=10_000)] = 16
    atlas: UserPath | None = None
    regions: dict[str, tuple[Whole, ...]] = FREESURFER_REGIONS
    of: str | None = None

    @model_validator(mode="after")
    def _fine_enough(self) -> Self:
        if self.atlas is not None and self.method != "integrated_gradients":
            raise ValueError(f"{self.method} maps are too coarse for an atlas; remove it, or use integrated_gradients")
        return self
