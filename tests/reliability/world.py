"""Two tiny sites with every kind of input file, copies of them that cost next to nothing, and the results of commands.

What is compared is read without the package's own code: tensors by safetensors, numbers by json.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

from fedtune3d.config.policy import Policy

SPACING_MM = 3.75
SHAPE = (40, 48, 40)
PEOPLE = 12
SPLITS = {"train": 0.7, "validation": 0.15, "test": 0.15}
"""Eight people of each site train: fewer give no feature statistics."""
MIN_PER_CLASS = next(name for name in Policy.model_fields if name.endswith("per_class"))
"""So few people at a site are otherwise too few for feature statistics to leave."""
EXPERIMENT, TABLE_EXPERIMENT, STUDY, TABLE, RUN = "experiment.yaml", "table.yaml", "study.yaml", "scans.tsv", "run"
LEFTOVERS = (".partial.", "spool", ".lock-holder")
SHARED_BYTES = 65_536
"""Files above this size are hard-linked into a copy; smaller ones may be appended to or locked, so they are copied."""


@dataclass(frozen=True)
class Result:
    """What must not differ: name → SHA-256 of each state dict, and of the numbers of each table or JSON file."""

    hashes: dict[str, str]

    def differing(self, other: "Result") -> list[str]:
        """Names whose content differs, or that only one of the two has."""
        names = self.hashes.keys() | other.hashes.keys()
        return sorted(name for name in names if self.hashes.get(name) != other.hashes.get(name))


def write_world(folder: Path, sites: str = "AB", people: int = PEOPLE, **changes: object) -> Path:
    """Write sites A (.nii.gz) and B (.nii, one session each), their tables, two experiments and a study.

    Args:
        folder: A new folder.
        sites: Their names, of one letter each; every site but A is like B.
        people: Of each site, half AD and half CN.
        changes: Keys of the experiment that differ from FedCE with a frozen tiny encoder.

    Returns:
        The experiment file. All its paths are relative, so that a copy of the folder is a world of its own.
    """
    rows = [_write_site(folder / name, name, seed, people) for seed, name in enumerate(sites)]
    table = ["path\tparticipant_id\tdiagnosis\tage\tsex", *rows[0]]
    (folder / TABLE).write_text("\n".join(table) + "\n")
    values: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "sites": [{"name": name, "root": name, "policy": {MIN_PER_CLASS: 1}} for name in sites],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "splits": SPLITS,
        "model": {"encoder": "tiny", "head": "linear"},
        "training": {"rounds": 2, "batch_size": 4},
        "aggregation": {"rule": "fedce"},
        "cache": "cache",
        "output": RUN,
        "threads": 1,
        **changes,
    }
    study = values | {"seeds": [0], "heads": ["linear"], "tunings": ["frozen"], "rules": ["fedavg", "fedce"]}
    for key in ("aggregation", "tuning", "seed"):
        study.pop(key, None)
    study["model"] = {"encoder": "tiny"}
    files = {
        EXPERIMENT: values,
        TABLE_EXPERIMENT: values | {"sites": [{"name": "A", "root": TABLE}], "aggregation": {"rule": "fedavg"}},
        STUDY: study | {"output": "study"},
    }
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / EXPERIMENT


def copy_world(source: Path, target: Path) -> Path:
    """Copy a world, large files as hard links: nothing in the product writes into a large file in place."""

    def copy_or_link(original: str, copy: str) -> None:
        if os.path.getsize(original) > SHARED_BYTES:
            os.link(original, copy)
        else:
            shutil.copy2(original, copy)

    shutil.copytree(source, target, copy_function=copy_or_link)
    return target


def run_result(run: Path) -> Result:
    """The state dicts, metrics and predictions of a run folder."""
    hashes = {
        name: _state_hash(run / name) for name in ("checkpoints/last.safetensors", "checkpoints/best.safetensors")
    }
    hashes["metrics.json"] = _metrics_hash(run / "metrics.json")
    for path in sorted(run.glob("sites/*/predictions.tsv")):
        hashes[path.relative_to(run).as_posix()] = _file_hash(path)
    return Result(hashes)


def study_result(study: Path) -> Result:
    """The results of all cells of a study."""
    hashes = {}
    for cell in sorted(path.parent for path in study.rglob("metrics.json")):
        for name, value in run_result(cell).hashes.items():
            hashes[f"{cell.relative_to(study)}/{name}"] = value
    return Result(hashes)


def cache_result(cache: Path) -> Result:
    """The voxels of the prepared scans, whatever their names: a scan's key also holds the SHA-256 of its file."""
    return Result(dict.fromkeys((_file_hash(path) for path in cache.glob("*/prepared/[!.]*.npy")), ""))


def export_result(folder: Path) -> Result:
    """The tensors of an export."""
    return Result({path.name: _state_hash(path) for path in sorted(folder.glob("*.safetensors"))})


def leftovers(folder: Path) -> list[str]:
    """What a killed process left and no later one removed."""
    return [str(path) for path in _files(folder) if any(mark in str(path.relative_to(folder)) for mark in LEFTOVERS)]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _metrics_hash(path: Path) -> str:
    """The hash of the numbers, without seconds and memory; of the bytes where the file is damaged."""
    try:
        metrics = json.loads(path.read_bytes())
        return _hash(json.dumps({key: metrics[key] for key in ("methods", "groups")}, sort_keys=True))
    except (ValueError, KeyError, TypeError):
        return _file_hash(path)


def _state_hash(path: Path) -> str:
    """The hash of the tensors; of the bytes where the file is damaged."""
    digest = hashlib.sha256()
    try:
        state = load_file(path)
    except SafetensorError:
        return _file_hash(path)
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_site(root: Path, site: str, seed: int, count: int) -> list[str]:
    """Write a BIDS folder of so many people, half AD and half CN. Returns its rows for a table of paths."""
    random = np.random.default_rng(seed)
    people, paths = ["participant_id\tdiagnosis\tage\tsex"], []
    session, suffix = ("", ".nii.gz") if site == "A" else ("ses-01", ".nii")
    for number in range(count):
        name, diagnosis = f"sub-{number:02d}", "AD" if number % 2 else "CN"
        values = f"{diagnosis}\t{60 + number}\t{'F' if number % 3 else 'M'}"
        people.append(f"{name}\t{values}")
        folder = root / name / session / "anat"
        folder.mkdir(parents=True)
        stem = f"{name}_{session}_T1w" if session else f"{name}_T1w"
        nib.save(_draw_brain(diagnosis == "AD", random), folder / f"{stem}{suffix}")
        sidecar = {"Manufacturer": "Siemens", "MagneticFieldStrength": 3, "EchoTime": 0.003, "SkullStripped": True}
        (folder / f"{stem}.json").write_text(json.dumps(sidecar, indent=2))
        paths.append(f"{site}/{(folder / stem).relative_to(root)}{suffix}\t{name}\t{values}")
        if session:
            acquired = f"session_id\tacq_time\n{session}\t2020-01-{number + 1:02d}T10:00:00\n"
            (root / name / f"{name}_sessions.tsv").write_text(acquired)
    (root / "participants.tsv").write_text("\n".join(people) + "\n")
    description = {"Name": f"site {site}", "BIDSVersion": "1.8.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(description, indent=2))
    return paths


def _draw_brain(positive: bool, random: np.random.Generator) -> nib.Nifti1Image:
    """An ellipsoid of noise of about a litre with a hole in the middle, larger in the positive."""
    axes = np.indices(SHAPE, dtype=np.float32) - np.array(SHAPE, dtype=np.float32)[:, None, None, None] / 2
    radii = np.array([16, 20, 16]) * random.uniform(0.95, 1.05)
    distance = np.sqrt(sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)))
    values = (100 + 20 * np.sin(axes[0] / 3) + random.normal(0, 5, SHAPE)) * (distance < 1)
    values[distance < (0.5 if positive else 0.25) * random.uniform(0.9, 1.1)] *= 0.4
    affine = np.diag([-SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = (80, -95, -60)
    image = nib.Nifti1Image(values.astype(np.int16), affine)
    image.set_sform(affine, code="scanner")
    return image
