"""Where the time of preparing raw heads goes, how much memory it takes, and how well the heads meet the template.

    python benchmarks/preparation.py DATA [--heads N] [--compare] [--json]

DATA holds `anatomies/` (FreeSurfer-style label maps of whole heads, from which T1-weighted heads with their skull are
painted at four resolutions, orientations and gains) and `scans/` (real heads). One process, one thread.
CPU seconds of the process stand for each step, the median over the heads; next to reading with the checksum of the
file stands nibabel's plain reading of the same file, which leaves the checksum out. Further: correlation with the
template in the brain, overlap of the brain masks with the template's, and the mean overlap between any two painted
people's hippocampi, taken to the template by their scans' own transforms. With `--compare` each head is registered with
antspyx, too (`pip install antspyx`). With `--json` the last line is one JSON object.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from fedtune3d._utils.memory import keep_freed_memory, peak_memory_bytes
from fedtune3d.preparation import prepare_scan as preparation
from fedtune3d.preparation.itk import TO_LPS
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.preparation.template import Template, load_template

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from simulated_heads import paint_head, varied_scan

STEPS = {
    "read_scan": "read, to RAS",
    "extract_brain": "brain extraction (deepbet)",
    "correct_bias": "bias correction (N4)",
    "register_to_template": "registration (SimpleITK)",
    "resample_affinely": "resampling",
    "normalise_intensity": "intensity",
    "measure_quality": "quality control",
}
HIPPOCAMPI = (17, 53)
SEED = 1
Timings = dict[str, list[float]]


def main() -> None:
    """Prepare the heads and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--heads", type=int, default=10, help="how many painted heads")
    parser.add_argument("--compare", action="store_true", help="register with antspyx, too")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_freed_memory()  # as a process that prepares scans does
    load_template(128, 1.5)
    start_gb = peak_memory_bytes() / 1e9
    timings: Timings = defaultdict(list)
    watch_steps(timings)
    rows, hippocampi, others = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for path, labels in list_heads(arguments.data, arguments.heads, Path(folder)):
            row, prepared = measure(path, timings)
            timings["nibabel"].append(plain_read_seconds(path))
            rows.append(row)
            print(line(row), flush=True)
            if labels is not None:
                hippocampi.append(taken_along(labels, prepared))
            if arguments.compare:
                others.append(compare(path))
                print("   antspyx: " + line(others[-1]), flush=True)
    result = summary(rows, hippocampi, timings, start_gb)
    if others:
        result["antspyx"] = {
            name: statistics.median(other[name] for other in others) for name in others[0] if name != "head"
        }
    for name, value in result.items():
        print(f"{name}: {json.dumps(value)}")
    if arguments.json:
        print(json.dumps(result))


def list_heads(data: Path, count: int, folder: Path) -> Any:
    """Each head's file, with its label map where it was painted."""
    for path in sorted((data / "scans").glob("*_T1w.nii.gz")):
        yield path, None
    for number, label_map in enumerate(sorted((data / "anatomies").glob("*.nii.gz"))[:count]):
        head, labels = paint_head(label_map, varied_scan(number), SEED)
        path = folder / f"{label_map.name.removesuffix('.nii.gz')}_T1w.nii.gz"
        nib.save(head, path)
        yield path, labels


def watch_steps(timings: Timings) -> None:
    """Let the pipeline's parts note their CPU seconds."""

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*values: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*values, **named)
            finally:
                timings[name].append(time.process_time() - start)

        return timed

    for name in STEPS:
        setattr(preparation, name, watched(name, getattr(preparation, name)))


def measure(path: Path, timings: Timings) -> tuple[dict[str, Any], PreparedScan]:
    """Prepare one head."""
    start = time.process_time()
    prepared = prepare_scan(path)
    timings["whole"].append(time.process_time() - start)
    return about(path.name, prepared, timings["whole"][-1]), prepared


def plain_read_seconds(path: Path) -> float:
    """CPU seconds of nibabel's own reading, which stops before the checksum of a .nii.gz."""
    start = time.process_time()
    nib.as_closest_canonical(nib.load(path)).get_fdata(dtype=np.float32, caching="unchanged")
    return time.process_time() - start


def about(name: str, prepared: PreparedScan, seconds: float) -> dict[str, Any]:
    """Time and quality of one head."""
    template = load_template(128, 1.5)
    both = prepared.brain & template.brain
    correlation = np.corrcoef(prepared.voxels[both].astype(np.float64), template.voxels[both])[0, 1]
    return {
        "head": name,
        "cpu_seconds": round(seconds, 2),
        "correlation": round(float(correlation), 3),
        "brain_dice": round(dice(prepared.brain, template.brain), 3),
        "brain_ml": round(prepared.brain_ml),
    }


def line(row: dict[str, Any]) -> str:
    """A row for people."""
    return ", ".join(f"{name} {value}" for name, value in row.items())


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Twice the common part over the sum of the two."""
    return float(2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second)))


def taken_along(labels: nib.Nifti1Image, prepared: PreparedScan) -> np.ndarray:
    """The hippocampi on the prepared grid."""
    matrix = np.linalg.inv(labels.affine) @ prepared.to_scan @ prepared.affine
    values = np.isin(np.asarray(labels.dataobj), HIPPOCAMPI).astype(np.float32)
    return ndimage.affine_transform(values, matrix[:3, :3], matrix[:3, 3], prepared.voxels.shape, order=1) > 0.5


def compare(path: Path) -> dict[str, Any]:
    """The same head, its brain registered with antspyx's `Affine` in place of ours."""
    seconds = []

    def other(voxels: np.ndarray, affine: np.ndarray, template: Template) -> np.ndarray:
        start = time.process_time()
        to_scan = register_with_ants(voxels, affine, template)
        seconds.append(time.process_time() - start)
        return to_scan

    ours = preparation.register_to_template
    preparation.register_to_template = other
    try:
        found = prepare_scan(path)
    finally:
        preparation.register_to_template = ours
    return about("antspyx", found, seconds[0])


def register_with_ants(voxels: np.ndarray, affine: np.ndarray, template: Template) -> np.ndarray:
    """As `register_to_template`, by `ants.registration(type_of_transform="Affine")`."""
    import ants

    def to_ants(values: np.ndarray, at: np.ndarray) -> Any:
        lps = TO_LPS @ at
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        placed = {"origin": lps[:3, 3].tolist(), "spacing": spacing.tolist(), "direction": lps[:3, :3] / spacing}
        return ants.from_numpy(np.ascontiguousarray(values, dtype=np.float32), **placed)

    fixed, moving = to_ants(template.voxels, template.affine), to_ants(voxels, affine)
    found = ants.registration(fixed, moving, type_of_transform="Affine", random_seed=SEED)
    transform = ants.read_transform(found["fwdtransforms"][-1])
    parameters, centre = np.array(transform.parameters), np.array(transform.fixed_parameters)
    in_lps = np.eye(4)
    in_lps[:3, :3] = parameters[:9].reshape(3, 3)
    in_lps[:3, 3] = parameters[9:] + centre - in_lps[:3, :3] @ centre
    return TO_LPS @ in_lps @ TO_LPS


def summary(
    rows: list[dict[str, Any]], hippocampi: list[np.ndarray], timings: Timings, start_gb: float
) -> dict[str, Any]:
    """What the tables come to."""
    overlaps = [dice(first, second) for first, second in combinations(hippocampi, 2)]
    return {
        "heads": len(rows),
        "median_cpu_seconds": round(statistics.median(timings["whole"]), 2),
        "largest_cpu_seconds": round(max(timings["whole"]), 2),
        "steps_cpu_seconds": {STEPS[name]: round(statistics.median(timings[name]), 2) for name in STEPS},
        "read_with_checksum_and_by_nibabel_cpu_seconds": [
            round(statistics.median(timings[name]), 3) for name in ("read_scan", "nibabel")
        ],
        "peak_gb": round(peak_memory_bytes() / 1e9, 2),
        "peak_gb_before": round(start_gb, 2),
        "correlation": [min(row["correlation"] for row in rows), max(row["correlation"] for row in rows)],
        "brain_dice": [min(row["brain_dice"] for row in rows), max(row["brain_dice"] for row in rows)],
        "hippocampus_dice_mean": round(statistics.mean(overlaps), 3) if overlaps else None,
        "hippocampus_dice": [round(min(overlaps), 3), round(max(overlaps), 3)] if overlaps else None,
    }


if __name__ == "__main__":
    main()
