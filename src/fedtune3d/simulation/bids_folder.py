"""A simulated site on disk as a BIDS folder; every file states that it is simulated."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fedtune3d._utils.files import atomic_path, write_json, write_text
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.version import __version__
from fedtune3d.simulation.scanning import Scan

NOTICE = "Simulated by fedtune3d: this is no person's scan, and nothing measured on it says anything about patients."
COLUMNS: dict[str, Json] = {
    "diagnosis": {"Description": "Simulated diagnosis", "Levels": {"AD": "impaired", "CN": "cognitively normal"}},
    "age": {"Description": "Simulated age", "Units": "year"},
    "sex": {"Description": "Simulated sex", "Levels": {"F": "female", "M": "male"}},
    "group_id": {"Description": "The anatomy that the scan was painted from; scans of one anatomy are of one person"},
}
OF_THREE: Json = {
    "Description": "Simulated diagnosis",
    "Levels": {"AD": "impaired", "CN": "cognitively normal", "MCI": "mildly impaired"},
}


def scan_path(site_folder: Path, participant: str) -> Path:
    """Return the path of a participant's scan; `participant` begins with `sub-`."""
    return site_folder / participant / "anat" / f"{participant}_T1w.nii.gz"


def write_scan(path: Path, scan: Scan, stored_as: str) -> None:
    """Write a scan as NIfTI, with its sidecar first; the same bytes for the same scan.

    `int16` is scaled by a slope; `float32` holds whole numbers, as written by scanner software.
    """
    write_json(
        path.with_name(path.name.removesuffix(".nii.gz") + ".json"),
        {"Simulated": True, "Description": NOTICE, "Modality": "MR", "SkullStripped": True},
    )
    largest = float(scan.voxels.max())
    slope = largest / 4095 if stored_as == "int16" else 1.0
    image = nib.Nifti1Image(np.rint(scan.voxels / np.float32(slope)).astype(stored_as), scan.affine)
    image.header.set_slope_inter(slope, 0.0)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"simulated by fedtune3d"
    image.set_sform(scan.affine, code="scanner")
    image.set_qform(scan.affine, code="scanner")
    with atomic_path(path) as partial:
        partial.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))


def simulated_brain(path: Path) -> NDArray[np.float32]:
    """Return the voxels of a simulated scan inside the brain, (n,), z-scored as in the preparation."""
    voxels = nib.Nifti1Image.from_filename(path).get_fdata(dtype=np.float32)
    inside = voxels[voxels > 0]
    return np.asarray((inside - inside.mean()) / inside.std(), np.float32)


def write_site_files(
    site_folder: Path, site: str, rows: Sequence[dict[str, str]], parameters: Mapping[str, Json]
) -> None:
    """Write all files of a BIDS folder except its scans; `participants.tsv` comes last and marks it as complete."""
    write_json(
        site_folder / "dataset_description.json",
        {
            "Name": f"Simulated site {site}",
            "BIDSVersion": "1.9.0",
            "DatasetType": "raw",
            "License": "CC0",
            "Simulated": True,
            "GeneratedBy": [
                {"Name": "fedtune3d simulate", "Version": __version__, "Description": NOTICE, **parameters}
            ],
        },
    )
    write_text(site_folder / "README", f"{NOTICE}\n\nBrain-extracted T1-weighted scans of the simulated site {site}.\n")
    columns = list(rows[0])
    described = {name: COLUMNS[name] for name in columns if name in COLUMNS}
    if any(row.get("diagnosis") == "MCI" for row in rows):
        described["diagnosis"] = OF_THREE
    write_json(site_folder / "participants.json", described)
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(site_folder / "participants.tsv", table.getvalue())
