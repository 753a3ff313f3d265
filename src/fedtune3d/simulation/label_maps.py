"""Anatomies of real people: a folder of FreeSurfer-style label maps and their TSV."""

import csv
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from fedtune3d._utils.errors import InputError
from fedtune3d.preparation.holes import fill_holes
from fedtune3d.simulation.anatomy import Anatomy, as_bytes, resample_to_anatomy_grid

DIAGNOSES = {
    "ad": "AD",
    "dementia": "AD",
    "impaired": "AD",
    "cn": "CN",
    "control": "CN",
    "healthy": "CN",
}

# Label → (CSF, grey, white) fractions. Deep nuclei and the brain-stem lie between grey and white matter on T1w scans.
TISSUE_OF_LABEL: dict[int, tuple[float, float, float]] = {
    **dict.fromkeys((4, 5, 14, 15, 24, 43, 44, 72), (1.0, 0.0, 0.0)),
    **dict.fromkeys((3, 8, 11, 12, 17, 18, 26, 42, 47, 50, 51, 53, 54, 58), (0.0, 1.0, 0.0)),
    **dict.fromkeys((2, 7, 41, 46, 77, 85), (0.0, 0.0, 1.0)),
    **dict.fromkeys((10, 49), (0.0, 0.55, 0.45)),
    **dict.fromkeys((13, 52), (0.0, 0.3, 0.7)),
    **dict.fromkeys((16, 28, 60), (0.0, 0.25, 0.75)),
    **dict.fromkeys((25, 57), (0.1, 0.5, 0.4)),  # white matter lesion
    # Vessels and choroid plexus; by their position in the lateral and inferior lateral ventricles, 136, 137, 163 and
    # 164 are the plexus of the four lateral horns in SynthSeg's maps.
    **dict.fromkeys((30, 31, 62, 63, 136, 137, 163, 164), (0.5, 0.5, 0.0)),
}
OTHER_LABEL = (0.0, 0.5, 0.5)
CLOSING_MM = 4.0
BRAIN_CENTRE_MM = (0.0, -18.0, 8.0)
OUTER_CSF = 24
FIRST_OTHER_TISSUE = 500


@dataclass(frozen=True)
class LabelMap:
    """One row of `anatomies.tsv`: a person, the diagnosis (AD or CN) and the file."""

    anatomy_id: str
    diagnosis: str
    path: Path


def list_label_maps(folder: Path) -> list[LabelMap]:
    """Read the people of `anatomies.tsv` (columns anatomy_id and diagnosis), in order of their ids.

    Diagnoses AD, dementia or impaired count as AD; CN, control or healthy as CN.

    Raises:
        InputError: If the folder, the table, a column or a file is missing, a diagnosis is unknown, or a person occurs
            twice.
    """
    table = folder / "anatomies.tsv"
    if not table.is_file():
        raise InputError(
            f"{table}: expected a table with the columns anatomy_id and diagnosis, but there is no such file"
        )
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        columns = reader.fieldnames or []
        rows = list(reader)
    missing = {"anatomy_id", "diagnosis"} - set(columns)
    if missing:
        raise InputError(
            f"{table}: expected the column {', '.join(sorted(missing))}, found {', '.join(columns) or 'none'}"
        )
    people = [_label_map_of_row(folder, table, row) for row in rows]
    ids = [person.anatomy_id for person in people]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise InputError(f"{table}: expected each anatomy_id once, but {twice[0]} occurs more than once")
    return sorted(people, key=lambda person: person.anatomy_id)


def _label_map_of_row(folder: Path, table: Path, row: dict[str, str]) -> LabelMap:
    name, text = row["anatomy_id"] or "", row["diagnosis"] or ""
    diagnosis = DIAGNOSES.get(text.strip().lower())
    if diagnosis is None:
        raise InputError(f"{table}: diagnosis of {name!r}: expected one of {', '.join(DIAGNOSES)}, got {text!r}")
    path = next((p for suffix in (".nii.gz", ".nii") if (p := folder / f"{name}{suffix}").is_file()), None)
    if path is None:
        raise InputError(
            f"{folder / name}.nii.gz: expected the label map of anatomy {name!r}, but there is no such file"
        )
    return LabelMap(name, diagnosis, path)


def read_label_map(person: LabelMap) -> Anatomy:
    """Read the anatomy of a label map, restricted to the brain.

    The brain consists of all labels below 500 except outer CSF, closed by 4 mm to include the fluid in the sulci.

    Raises:
        InputError: If the file is unreadable, not 3D, or without brain labels.
    """
    try:
        image = nib.as_closest_canonical(nib.load(person.path))
        labels = np.asarray(image.dataobj)
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{person.path}: expected a NIfTI label map, but it cannot be read ({error})") from error
    if labels.ndim != 3 or not np.isin((2, 3, 41, 42), labels).all():
        raise InputError(
            f"{person.path}: expected a 3D FreeSurfer label map with labels 2, 3, 41 and 42, got another image"
        )
    labels, spacing_mm = crop_to_brain(labels), nib.affines.voxel_sizes(image.affine)
    brain = close_brain((labels > 0) & (labels != OUTER_CSF), spacing_mm)
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = np.subtract(BRAIN_CENTRE_MM, np.array(ndi.center_of_mass(brain)) * spacing_mm)
    tissues, affine = resample_to_anatomy_grid(tissue_fractions(labels, brain), affine, brain)
    return Anatomy(person.anatomy_id, as_bytes(np.concatenate([tissues, np.zeros_like(tissues[:1])])), affine, None)


def crop_to_brain(labels: NDArray[np.int16]) -> NDArray[np.int16]:
    """Crop the labels to the brain with a margin of at least 8 voxels and even side lengths; 0 outside the brain."""
    brain = np.where((labels > 0) & (labels < FIRST_OTHER_TISSUE), labels, 0).astype(np.int16)
    box = ndi.find_objects(((brain > 0) & (brain != OUTER_CSF)).astype(np.uint8))[0]
    cropped = brain[box]
    return np.pad(cropped, [(8, 8 + n % 2) for n in cropped.shape])


def close_brain(parenchyma: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Close the parenchyma morphologically with a ball of `CLOSING_MM`, on a grid of half the resolution."""
    x, y, z = (n // 2 for n in parenchyma.shape)
    coarse = parenchyma.reshape(x, 2, y, 2, z, 2).any(axis=(1, 3, 5))
    grown = ndi.distance_transform_edt(~coarse, 2 * spacing_mm) <= CLOSING_MM
    closed = fill_holes(ndi.distance_transform_edt(grown, 2 * spacing_mm) > CLOSING_MM)
    brain: np.ndarray = parenchyma | closed.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    return brain


def tissue_fractions(labels: NDArray[np.int16], brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return CSF, grey and white matter (3, X, Y, Z), which sum to 1 in the brain; unlabelled voxels in it are CSF."""
    table = np.tile(np.array(OTHER_LABEL, np.float32), (FIRST_OTHER_TISSUE, 1))
    table[0] = TISSUE_OF_LABEL[OUTER_CSF]
    for label, fractions in TISSUE_OF_LABEL.items():
        table[label] = fractions
    return np.moveaxis(table[labels] * brain[..., None], -1, 0)
