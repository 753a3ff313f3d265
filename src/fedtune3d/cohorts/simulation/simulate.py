"""Simulate hospital sites: plan, make what is missing in parallel, describe."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from fedtune3d.cohorts.simulation.anatomy import Anatomy
from fedtune3d.cohorts.simulation.bids_folder import scan_path, write_scan, write_site_files
from fedtune3d.cohorts.simulation.label_maps import list_label_maps, read_label_map
from fedtune3d.cohorts.simulation.plan import PlannedScan, PlannedSite, plan_sites
from fedtune3d.cohorts.simulation.scanning import make_scan
from fedtune3d.cohorts.simulation.template import template_anatomy
from fedtune3d.errors import InputError
from fedtune3d.files import require_free_space, sha256_file, write_json

SIMULATION_VERSION = 1
BYTES_PER_SCAN = 4_000_000


def simulate_sites(
    out: Path,
    sites: int = 4,
    scans: int = 200,
    seed: int = 1,
    anatomies: Path | None = None,
    least_per_class: int = 3,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write simulated hospital sites as BIDS folders `out/site-A`, `out/site-B`, …; returns the folders.

    The same arguments give the same bytes, whatever the number of workers. A scan that is already there is not made
    again, so a simulation that was stopped goes on where it was.

    Args:
        out: Folder for the sites; made when missing.
        sites: Number of sites, 1 to 26; their sizes are unequal.
        scans: Number of scans of all sites together.
        seed: Cause of everything random, with site and participant.
        anatomies: Folder of FreeSurfer-style label maps with `anatomies.tsv`; None draws people from MNI152.
        least_per_class: Scans of each class that every site has in validation and in test under the default split.
        workers: Processes, of one thread each. 1 works in this process.
        progress: Called with (scans done, scans in all).

    Raises:
        InputError: Numbers too small or out of range, a folder that holds something else, a disk too full, or anatomies
            that cannot be read.
    """
    people = None if anatomies is None else list_label_maps(anatomies)
    planned = plan_sites(sites, scans, seed, least_per_class, people)
    parameters = {
        "Version": SIMULATION_VERSION,
        "Sites": sites,
        "Scans": scans,
        "Seed": seed,
        "LeastPerClass": least_per_class,
        "Anatomies": {"MNI152": "nilearn"}
        if people is None
        else {person.anatomy_id: sha256_file(person.path) for person in people},
    }
    folders = [out / site.name for site in planned]
    _claim_folder(out, folders, parameters)
    missing = [
        (site, scan)
        for site in planned
        for scan in site.scans
        if not scan_path(out / site.name, scan.participant).exists()
    ]
    require_free_space(out, BYTES_PER_SCAN * len(missing), f"simulating {len(missing)} scans")
    done = scans - len(missing)
    if progress:
        progress(done, scans)
    if missing:
        sources = {"": template_anatomy()} if people is None else {p.anatomy_id: read_label_map(p) for p in people}
        for _ in _make_scans(out, missing, sources, seed, workers):
            done += 1
            if progress:
                progress(done, scans)
    for site, folder in zip(planned, folders, strict=True):
        write_site_files(folder, site.name, [_row(scan) for scan in site.scans], _described(site, parameters))
    return folders


def _claim_folder(out: Path, folders: Sequence[Path], parameters: dict[str, Any]) -> None:
    """Write `simulation.json`, or check that the one that is there has the same parameters."""
    record = out / "simulation.json"
    if record.exists():
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(
                f"{record}: expected the parameters of a simulation, got no JSON; remove the folder"
            ) from error
        if found != parameters:
            changed = sorted(key for key in {*found, *parameters} if found.get(key) != parameters.get(key))
            raise InputError(
                f"{out}: holds a simulation with another {', '.join(changed).lower()}; choose another folder or "
                "remove it"
            )
        return
    taken = [folder for folder in folders if folder.exists()]
    if taken:
        raise InputError(
            f"{taken[0]}: exists and was not written by this simulation; choose another folder or remove it"
        )
    write_json(record, parameters)


def _make_scans(
    out: Path,
    missing: Sequence[tuple[PlannedSite, PlannedScan]],
    sources: dict[str, Anatomy],
    seed: int,
    workers: int,
) -> Iterator[None]:
    """Make the scans, yielding after each."""
    if workers <= 1:
        for site, scan in missing:
            _make_one(out, site, scan, sources[scan.anatomy], seed)
            yield
        return
    with ProcessPoolExecutor(
        min(workers, len(missing)), get_context("spawn"), initializer=_start_worker, initargs=(out, sources, seed)
    ) as pool:
        try:
            for future in as_completed([pool.submit(_make_one_in_worker, site, scan) for site, scan in missing]):
                future.result()
                yield
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _make_one(out: Path, site: PlannedSite, scan: PlannedScan, anatomy: Anatomy, seed: int) -> None:
    made = make_scan(anatomy, scan.person, site.effect, seed, site.name, scan.participant)
    write_scan(scan_path(out / site.name, scan.participant), made, site.effect.stored_as)


_worker_inputs: tuple[Path, dict[str, Anatomy], int]


def _start_worker(out: Path, sources: dict[str, Anatomy], seed: int) -> None:
    """Keep in the worker what all its scans share."""
    global _worker_inputs
    torch.set_num_threads(1)
    _worker_inputs = (out, sources, seed)


def _make_one_in_worker(site: PlannedSite, scan: PlannedScan) -> None:
    out, sources, seed = _worker_inputs
    _make_one(out, site, scan, sources[scan.anatomy], seed)


def _row(scan: PlannedScan) -> dict[str, str]:
    row = {
        "participant_id": scan.participant,
        "diagnosis": scan.person.diagnosis,
        "age": f"{scan.person.age:.1f}",
        "sex": scan.person.sex,
    }
    return row | {"group_id": scan.anatomy} if scan.anatomy else row


def _described(site: PlannedSite, parameters: dict[str, Any]) -> dict[str, Any]:
    """What the site's description says of how it was made."""
    return {"Parameters": parameters | {"SiteEffect": asdict(site.effect)}}
