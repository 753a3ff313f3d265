"""Simulation of hospital sites: planning, parallel creation of missing scans, and description."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import joblib
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import require_free_space, sha256_file, write_json
from fedtune3d._utils.folders import SimulationFolder
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.memory import keep_freed_memory
from fedtune3d.simulation.anatomy import Anatomy
from fedtune3d.simulation.bids_folder import scan_path, write_scan, write_site_files
from fedtune3d.simulation.cohort_design import PlannedScan, PlannedSite, plan_sites
from fedtune3d.simulation.label_maps import LabelMap, list_label_maps, read_label_map
from fedtune3d.simulation.outcomes import SimulatedOutcome
from fedtune3d.simulation.scanning import make_scan
from fedtune3d.simulation.site_effects import SiteEffect
from fedtune3d.simulation.template import template_anatomy

SIMULATION_VERSION = 1
BYTES_PER_SCAN = 4_000_000


def simulate_sites(
    out: Path,
    sites: int = 4,
    scans: int = 200,
    seed: int = 1,
    anatomies: Path | None = None,
    min_per_class: int = 3,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    site_effects: Sequence[str] = (),
    outcome: SimulatedOutcome = SimulatedOutcome.CN_AD,
) -> list[Path]:
    """Write simulated hospital sites as BIDS folders `out/site-A`, `out/site-B`, …; return the folders.

    The same arguments give the same bytes, whatever the number of workers. Scans that exist already
    are kept, so an interrupted simulation continues where it stopped.

    Args:
        out: Folder for the sites; created if missing.
        sites: Number of sites, 1 to 26; their sizes are unequal.
        scans: Total number of scans over all sites.
        seed: Seed of everything random, together with site and participant.
        anatomies: Folder of FreeSurfer-style label maps with `anatomies.tsv`; None draws people from MNI152.
        min_per_class: Scans of each class that every site has in validation and in test under the default split.
        workers: Number of processes with one thread each; 1 works in this process, None means one per core.
        progress: Called with (scans done, total scans).
        site_effects: Values to set at a site instead of drawing them, such as ``site_c=1.5T,slices=3mm`` (see
            `presets`).
        outcome: What the people are simulated for: two diagnoses, three, or the age of healthy people.

    Raises:
        InputError: If a number is out of range, the folder contains something else, the disk is too full, or anatomies
            cannot be read.
    """
    people = None if anatomies is None else list_label_maps(anatomies)
    planned = plan_sites(sites, scans, seed, min_per_class, people, site_effects, outcome)
    parameters = _parameters(sites, scans, seed, min_per_class, people, site_effects, outcome)
    folders = [out / site.name for site in planned]
    _claim_folder(out, folders, parameters)
    missing = _missing_scans(out, planned)
    require_free_space(out, BYTES_PER_SCAN * len(missing), f"simulating {len(missing)} scans")
    done = scans - len(missing)
    if progress:
        progress(done, scans)
    if missing:
        for _ in _make_scans(out, missing, people, seed, workers or joblib.cpu_count()):
            done += 1
            if progress:
                progress(done, scans)
    for site, folder in zip(planned, folders, strict=True):
        rows = [_row(scan, outcome) for scan in site.scans]
        write_site_files(folder, site.name, rows, _described(site, parameters))
    return folders


def _missing_scans(out: Path, planned: Sequence[PlannedSite]) -> list[tuple[PlannedSite, PlannedScan]]:
    return [
        (site, scan)
        for site in planned
        for scan in site.scans
        if not scan_path(out / site.name, scan.participant).exists()
    ]


def _parameters(
    sites: int,
    scans: int,
    seed: int,
    min_per_class: int,
    people: Sequence[LabelMap] | None,
    site_effects: Sequence[str],
    outcome: SimulatedOutcome,
) -> dict[str, Json]:
    """Return everything that the bytes of a simulation depend on."""
    parameters: dict[str, Json] = {
        "Version": SIMULATION_VERSION,
        "Sites": sites,
        "Scans": scans,
        "Seed": seed,
        "LeastPerClass": min_per_class,
        "Anatomies": {"MNI152": "nilearn"}
        if people is None
        else {person.anatomy_id: sha256_file(person.path) for person in people},
    }
    if site_effects:
        parameters["SiteEffects"] = list(site_effects)
    if outcome is not SimulatedOutcome.CN_AD:
        parameters["Outcome"] = outcome.value
    return parameters


def _claim_folder(out: Path, folders: Sequence[Path], parameters: dict[str, Json]) -> None:
    """Write `simulation.json`, or check that an existing one has the same parameters."""
    record = SimulationFolder(out).parameters
    if record.exists():
        try:
            written = json.loads(record.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{record}: expected the parameters of a simulation in JSON; remove the folder") from error
        if written != parameters:
            changed = sorted(key for key in {*written, *parameters} if written.get(key) != parameters.get(key))
            raise InputError(
                f"{out}: holds a simulation with another {', '.join(changed).lower()}; choose another folder or "
                "remove it"
            )
        return
    existing = [folder for folder in folders if folder.exists()]
    if existing:
        raise InputError(
            f"{existing[0]}: exists and was not written by this simulation; choose another folder or remove it"
        )
    write_json(record, parameters)


def _make_scans(
    out: Path,
    missing: Sequence[tuple[PlannedSite, PlannedScan]],
    people: Sequence[LabelMap] | None,
    seed: int,
    workers: int,
) -> Iterator[None]:
    """Make the scans of people, or of the template's if there are none, yielding after each."""
    sources = {"": template_anatomy()} if people is None else {p.anatomy_id: read_label_map(p) for p in people}
    jobs = [
        (scan_path(out / site.name, scan.participant), sources[scan.anatomy], site.effect, scan, seed)
        for site, scan in missing
    ]
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            _make_scan(*job)
            yield
        return
    # Unlike multiprocessing's, joblib's processes do not run the caller's script again, so no __main__ guard is needed;
    # they receive the anatomies as memory maps.
    pool = joblib.Parallel(n_jobs=min(workers, len(jobs)), backend="loky", return_as="generator_unordered")
    with warnings.catch_warnings():
        # joblib warns when it restarts a worker whose memory has grown.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
        yield from pool(joblib.delayed(_make_scan_on_one_thread)(*job) for job in jobs)


def _make_scan(path: Path, anatomy: Anatomy, effect: SiteEffect, scan: PlannedScan, seed: int) -> None:
    made = make_scan(anatomy, scan.person, effect, seed, scan.site, scan.participant)
    write_scan(path, made, effect.stored_as)


def _make_scan_on_one_thread(path: Path, anatomy: Anatomy, effect: SiteEffect, scan: PlannedScan, seed: int) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    _make_scan(path, anatomy, effect, scan, seed)


def _row(scan: PlannedScan, outcome: SimulatedOutcome) -> dict[str, str]:
    row = {"participant_id": scan.participant}
    if outcome is not SimulatedOutcome.AGE:
        row["diagnosis"] = scan.person.diagnosis
    row |= {"age": f"{scan.person.age:.1f}", "sex": scan.person.sex}
    return row | {"group_id": scan.anatomy} if scan.anatomy else row


def _described(site: PlannedSite, parameters: dict[str, Json]) -> dict[str, Json]:
    """Describe the simulation of a site, for its description file."""
    effect = {**asdict(site.effect)}
    if not site.effect.motion_mm:
        del effect["motion_mm"]  # unchanged from versions without motion
    return {"Parameters": parameters | {"SiteEffect": effect}}
