"""The section of saliency maps."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from fedtune3d.config.explain import ExplainSection


def test_only_integrated_gradients_are_fine_enough_for_an_atlas() -> None:
    assert ExplainSection(method="integrated_gradients", atlas=Path("atlas.nii.gz")).atlas == Path("atlas.nii.gz")
    with pytest.raises(ValidationError, match="too coarse for an atlas"):
        ExplainSection(method="gradcam", atlas=Path("atlas.nii.gz"))
