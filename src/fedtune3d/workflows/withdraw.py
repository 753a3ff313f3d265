"""`fedtune3d site withdraw` and `site forget`: what a site keeps of a person, or of a federation, is deleted."""

import csv
import io
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from fedtune3d._utils.counted_ledgers import count_path
from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d._utils.folders import SitePaths, SiteWork
from fedtune3d._utils.folders.cache import PreparedPaths, SiteCache
from fedtune3d._utils.folders.site import SiteFolder
from fedtune3d._utils.sealed import read_sealed_text, write_sealed_text
from fedtune3d.cohorts.people import prefixed
from fedtune3d.cohorts.reading import column_values
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.privacy.approval import Approvals
from fedtune3d.federation.privacy.people import hash_person, site_key
from fedtune3d.preparation.store import read_info
from fedtune3d.training.features import FeatureCache

CANNOT_BE_UNDONE = (
    "Cannot be undone: updates, counts and statistics that left before, at the server and in models trained with them; "
    "a model forgets a person only when it is trained again without them."
)


def withdraw_person(folder: Path, person: str) -> None:
    """Take a person out of all experiments to come, and delete what the site keeps of them. Scans are left alone.

    Raises:
        InputError: If no table of the site names the person.
    """
    settings, paths = SiteSettings.read(folder), SitePaths(folder)
    participant = prefixed("sub-", person)
    known = column_values(settings.data, ["participant_id"], participants=settings.participants)["participant_id"]
    if participant not in known:
        raise InputError(f"{person}: expected a participant of the tables of {settings.data}, which name nobody so")
    Approvals(paths.approvals).withdraw(hash_person(site_key(paths.people_key, paths.hashed), participant))
    work = SiteWork(settings.work)
    scans = {sha256_file(path) for path in _scans_of(settings.data, participant)}
    for cache in work.cache.sites().values() if work.cache.path.is_dir() else ():
        _delete_from_cache(cache, scans, participant)
    for site in settings.work.glob("runs/*/sites/*"):
        _delete_from_run(SiteFolder(site), participant)


def forget_federation(folder: Path) -> list[Path]:
    """Delete what a federation left in the site's work folder: runs, caches, Flower's files. Returns what was deleted.

    The decisions, the charges and the record of what left stay.
    """
    settings = SiteSettings.read(folder)
    work = SiteWork(settings.work)
    deleted = [path for path in (work.cache.path, work.flower) if path.exists()]
    deleted += [
        path
        for site in settings.work.glob("runs/*/sites/*")
        for path in sorted(site.iterdir())
        if path not in (SiteFolder(site).egress, count_path(SiteFolder(site).egress))
    ]
    for path in deleted:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return deleted


def _scans_of(data: Path, participant: str) -> Iterator[Path]:
    if data.is_dir():
        yield from (path for path in (data / participant).rglob("*.nii*") if path.is_file())
        yield from (path for path in data.rglob(f"{participant}_*.nii*") if path.is_file())


def _delete_from_cache(cache: SiteCache, scans: Collection[str], participant: str) -> None:
    prepared = set()
    for info in cache.prepared.glob("*.json"):
        causes = read_info(info)["causes"]
        if causes["scan_sha256"] in scans:
            prepared.add(info.stem)
    for entry in FeatureCache(cache.features).list_entries():
        if entry.causes.get("scan") in prepared:
            entry.path.unlink(missing_ok=True)
    for stem in prepared:
        for path in PreparedPaths(cache.prepared / f"{stem}.npy").all:
            path.unlink(missing_ok=True)
    for path in (cache.quality_page, cache.quality_table, cache.names):
        path.unlink(missing_ok=True)


def _delete_from_run(site: SiteFolder, participant: str) -> None:
    """Drop the person's rows, and all files that are made again or name people otherwise."""
    if site.splits.exists():
        _rewrite(site.splits, lambda row: row["participant_id"] != participant)
    for path in site.path.glob("predictions*.tsv"):
        _rewrite(path, lambda row: row["participant"] != participant)
    for path in (site.inputs, site.flow, site.masking.values):
        path.unlink(missing_ok=True)
    for folder in (site.saliency, site.examples, site.answers, site.releases):
        shutil.rmtree(folder, ignore_errors=True)


def _rewrite(path: Path, keeps: Callable[[dict[str, str]], bool]) -> None:
    reader = csv.DictReader(io.StringIO(read_sealed_text(path)), delimiter="\t")
    table = io.StringIO()
    writer = csv.DictWriter(table, list(reader.fieldnames or ()), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for row in reader if keeps(row))
    write_sealed_text(path, table.getvalue())
