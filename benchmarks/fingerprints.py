"""How often near fingerprints miss a person's second scan, and how often they take two people for one.

Simulates people in two sessions at different sites, and, with `--anatomies`, scans of real anatomies whose shape varies
a little from scan to scan. Prepares every scan; of each person's first session also makes copies that are prepared
again: with noise, shifted by under a voxel (one more interpolation), with another gain and gamma, rounded to 8 bits.
Counts the bands that scans of one person share, and that scans of two share.

    python benchmarks/fingerprints.py --people 60 --anatomies ../shared/data/anatomies --json
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.evaluation.intervals import wilson
from fedtune3d.preparation.near_fingerprints import BANDS, BITS, SUSPICIOUS_BANDS, near_residual, project
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.simulation.anatomy import Anatomy
from fedtune3d.simulation.bids_folder import write_scan
from fedtune3d.simulation.label_maps import list_label_maps, read_label_map
from fedtune3d.simulation.people import Person, draw_person, draw_person_of_anatomy
from fedtune3d.simulation.scanning import person_displacement, scan_person
from fedtune3d.simulation.site_effects import SiteEffect, draw_site_effects
from fedtune3d.simulation.template import template_anatomy

Bits = np.ndarray
COPIES = ("noise", "shift", "gain and gamma", "8 bits")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=60, help="simulated people, each in two sessions")
    parser.add_argument("--anatomies", type=Path, help="a folder of label maps; each person is scanned four times")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    results = [measure_simulated(options.people, options.seed)]
    if options.anatomies:
        results.append(measure_anatomies(options.anatomies, options.seed))
    print(f"{BANDS} bands of {BITS} bits; suspicious from {SUSPICIOUS_BANDS} equal bands on")
    for result in results:
        print(result["title"])
        for name, counts in result["same person"].items():
            print(f"  same person, {name}: " + told(counts, missed=True))
        print("  other people: " + told(result["other people"], missed=False))
    print(f"{time.monotonic() - began:.0f} s in all")
    if options.json:
        print(json.dumps(results))


def told(counts: list[int], missed: bool) -> str:
    """Misses or false matches with their 95 % interval, and what the counts were."""
    wrong = sum((count < SUSPICIOUS_BANDS) == missed for count in counts)
    low, high = wilson(wrong / len(counts), len(counts))
    quantiles = ", ".join(f"{value:.0f}" for value in np.quantile(counts, (0, 0.05, 0.5, 0.95, 1)))
    return (
        f"{wrong} of {len(counts)} pairs {'missed' if missed else 'taken for one'} "
        f"({100 * wrong / len(counts):.2g} %, 95 % interval {100 * low:.2g} to {100 * high:.2g} %); "
        f"equal bands: least, 5 %, median, 95 %, most {quantiles}"
    )


def measure_simulated(people: int, seed: int) -> dict:
    """Two sessions of each simulated person at two of four sites, and copies of the first."""
    template, effects = template_anatomy(), draw_site_effects(4, seed)
    sessions: list[tuple[Bits, Bits]] = []
    copies: dict[str, list[int]] = {name: [] for name in COPIES}
    for number in range(people):
        name = f"person {number}"
        person = draw_person("AD" if number % 2 else "CN", effects[0], seed, "benchmark", name)
        shape = person_displacement(template, person, numpy_rng(seed, name, "shape"))
        with tempfile.TemporaryDirectory() as folder:
            paths = [
                session(Path(folder), template, person, shape, effects[(number + turn) % 4], seed, name, turn)
                for turn in (0, 1)
            ]
            bits = [bits_of(path) for path in paths]
            for copy, path in re_prepared(paths[0], numpy_rng(seed, name, "copies")):
                copies[copy].append(equal_bands(bits[0], bits_of(path)))
        sessions.append((bits[0], bits[1]))
        print(f"\r{number + 1} of {people} simulated people", end="", file=sys.stderr)
    print(file=sys.stderr)
    same = {"another session at another site": [equal_bands(*pair) for pair in sessions]} | {
        f"re-prepared with {name}": counts for name, counts in copies.items()
    }
    other = [equal_bands(a, b) for one, two in combinations(sessions, 2) for a in one for b in two]
    return {"title": f"{people} simulated people (MNI152, random shape)", "same person": same, "other people": other}


def measure_anatomies(folder: Path, seed: int) -> dict:
    """Four scans of each real anatomy, two at each of two sites; every scan has a small random shape of its own."""
    effects = draw_site_effects(2, seed)
    scans: list[list[Bits]] = []
    people = list_label_maps(folder)
    for number, label_map in enumerate(people):
        anatomy = read_label_map(label_map)
        person = draw_person_of_anatomy(label_map.diagnosis, seed, label_map.anatomy_id)
        scans.append([])
        for turn in range(4):
            rng = numpy_rng(seed, label_map.anatomy_id, "shape", turn)
            shape = person_displacement(anatomy, person, rng)
            with tempfile.TemporaryDirectory() as temporary:
                site = effects[turn % 2]
                path = session(Path(temporary), anatomy, person, shape, site, seed, label_map.anatomy_id, turn)
                scans[-1].append(bits_of(path))
        print(f"\r{number + 1} of {len(people)} anatomies", end="", file=sys.stderr)
    print(file=sys.stderr)
    same = [equal_bands(a, b) for own in scans for a, b in combinations(own, 2)]
    other = [equal_bands(a, b) for one, two in combinations(scans, 2) for a in one for b in two]
    return {
        "title": f"{len(people)} real anatomies, painted",
        "same person": {"four scans with small deformations, two sites": same},
        "other people": other,
    }


def session(
    folder: Path,
    anatomy: Anatomy,
    person: Person,
    shape: np.ndarray,
    site: SiteEffect,
    seed: int,
    name: str,
    turn: int,
) -> Path:
    """A scan file of one session: pose, contrast, noise and grid are its own, the shape is the person's."""
    path = folder / f"session-{turn}_T1w.nii.gz"
    write_scan(path, scan_person(anatomy, person, shape, site, numpy_rng(seed, name, "session", turn)), site.stored_as)
    return path


def re_prepared(path: Path, rng: np.random.Generator) -> Iterator[tuple[str, Path]]:
    """Copies of a scan that are no exact copies any more, each by its kind."""
    image = nib.load(path)
    voxels = image.get_fdata(dtype=np.float32)
    brain = voxels > 0
    level = float(np.median(voxels[brain]))
    made = {
        "noise": np.where(brain, np.abs(voxels + rng.normal(0, 0.03 * level, voxels.shape)), 0),
        "shift": ndimage.shift(voxels, rng.uniform(-0.5, 0.5, 3), order=1),
        "gain and gamma": np.where(brain, (voxels / level) ** rng.uniform(0.8, 1.25) * 100, 0),
        "8 bits": np.rint(voxels / voxels.max() * 255),
    }
    for name in COPIES:
        copy = path.with_name(f"copy-{COPIES.index(name)}_T1w.nii.gz")
        nib.save(nib.Nifti1Image(made[name].astype(np.float32), image.affine), copy)
        yield name, copy


def bits_of(path: Path) -> Bits:
    """(BANDS, BITS) of a scan file, prepared."""
    residual = near_residual(prepare_scan(path).voxels)
    assert residual is not None
    return project(residual).reshape(BANDS, BITS)


def equal_bands(first: Bits, second: Bits) -> int:
    """In how many bands all bits are equal."""
    return int((first == second).all(axis=1).sum())


if __name__ == "__main__":
    main()
