"""Where the final model looks: the section of saliency maps."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedtune3d._utils.ranges import Count
from fedtune3d._utils.strict import StrictModel
from fedtune3d._utils.user_paths import UserPath
from fedtune3d.preparation.atlas import FREESURFER_REGIONS


class ExplainSection(StrictModel):
    """Where the final model looks: a mean map over positive test scans a site (docs/explain.md).

    Attributes:
        method: How a map is made; `models/explanation.py`.
        scans: Most scans at a site, one a person.
        steps: Points of the path of integrated gradients.
        atlas: A label map in MNI152, read by the server; by default the one that `cohorts.atlas` finds.
        regions: Name → labels in the atlas; by default those of FreeSurfer.
    """

    method: Literal["gradcam", "occlusion", "integrated_gradients"]
    scans: Count = 20
    steps: Annotated[int, Field(ge=1, le=10_000)] = 16
    atlas: UserPath | None = None
    regions: dict[str, tuple[int, ...]] = FREESURFER_REGIONS

    @model_validator(mode="after")
    def _fine_enough(self) -> Self:
        if self.atlas is not None and self.method != "integrated_gradients":
            raise ValueError(f"a map by {self.method} is too coarse for an atlas; leave it out, or take another method")
        return self
