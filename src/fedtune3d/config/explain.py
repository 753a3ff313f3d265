"""The configuration of saliency maps."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedtune3d._utils.ranges import Count, Whole
from fedtune3d._utils.strict import StrictModel
from fedtune3d._utils.user_paths import UserPath
from fedtune3d.preparation.atlas import FREESURFER_REGIONS


class ExplainSection(StrictModel):
    """Mean saliency maps of the final model over positive test scans, one per site (docs/explain.md).

    Attributes:
        method: Explanation method; see `models/explanation.py`.
        scans: Maximum number of scans per site, one per person.
        steps: Number of points on the path of integrated gradients.
        atlas: A label map in MNI152 space, read by the server; defaults to `preparation.atlas.packaged_atlas`.
        regions: Name → labels in the atlas; by default FreeSurfer's.
    """

    method: Literal["gradcam", "occlusion", "integrated_gradients"]
    scans: Count = 20
    steps: Annotated[Whole, Field(ge=1, le=10_000)] = 16
    atlas: UserPath | None = None
    regions: dict[str, tuple[Whole, ...]] = FREESURFER_REGIONS

    @model_validator(mode="after")
    def _fine_enough(self) -> Self:
        if self.atlas is not None and self.method != "integrated_gradients":
            raise ValueError(f"{self.method} maps are too coarse for an atlas; remove it, or use integrated_gradients")
        return self
