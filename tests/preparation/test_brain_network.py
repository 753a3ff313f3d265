"""The networks with faster parts decide as deepbet's own do; needs the raw extra and real anatomy."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from simulated_heads import HeadScan, paint_head

from fedtune3d.preparation import brain

pytestmark = pytest.mark.ci


def test_masks_are_those_of_deepbet(real_data: Path) -> None:
    """On a real head, and on a painted one of thick slices whose axes run backwards."""
    extraction = pytest.importorskip("deepbet").BrainExtraction(no_gpu=True)
    brain._load.cache_clear()
    thick = paint_head(sorted((real_data / "anatomies").glob("*.nii.gz"))[0], HeadScan((1.0, 1.0, 3.0), "LPS"), 1)[0]
    for head in (nib.load(real_data / "scans" / "chris_T1w.nii.gz"), thick):
        voxels = nib.as_closest_canonical(head).get_fdata(dtype=np.float32)
        expected = extraction.postprocess(extraction.run_model(voxels.copy()) > 0.5)
        np.testing.assert_array_equal(brain.extract_brain(voxels), expected)
