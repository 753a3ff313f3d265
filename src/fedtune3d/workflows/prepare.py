"""`fedtune3d prepare`: prepare all scans of the sites, and list those that are bad or suspicious."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Progress
from fedtune3d.cohorts.flow import Flow, count_flow, without_folder
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.splitting import require_every_class, split_shared
from fedtune3d.preparation.quality.page import write_quality
from fedtune3d.workflows.sites import make_sites


@dataclass(frozen=True)
class PreparedSite:
    """The result of `prepare` for a site.

    Attributes:
        scans: Number of prepared scans.
        bad: Scans left out, with reasons.
        suspicious: Scans flagged by quality control, with reasons; they are used.
        flow: Flow of its participants, with the sets that a run assigns them to, if these are known before it.
        page: The page of quality control.
    """

    scans: int
    bad: list[tuple[str, str]]
    suspicious: list[tuple[str, str]]
    flow: Flow
    page: Path


def prepare_sites(
    experiment: Experiment, progress: Progress, workers: int | None = None, only: str | None = None
) -> dict[str, PreparedSite]:
    """Prepare the scans of every site, or only of the one named; all tables are read before the first scan.

    Args:
        experiment: The experiment.
        progress: Where progress is shown.
        workers: Number of processes; see `make_sites`.
        only: The only site to prepare; None for all.
    """
    sites = make_sites(experiment, RunFolder(experiment.output), progress, workers=workers, only=only)
    require_roots(experiment)
    for site in sites:
        site.require_enough_people(site.cohort.records)
    prepared = {}
    splits = _splits(experiment, sites, only)
    for site in sites:
        bad = [(record.name, without_folder(record, why)) for record, why in site.prepared.bad]
        checked = write_quality(site.cache.path, site.name, experiment.name, site.prepared, site.rejected)
        suspicious = [(scan.record.name, "; ".join(scan.reasons)) for scan in checked if scan.reasons]
        flow = count_flow(site.cohort, site.prepared.bad, splits.get(site.name), site.classes)
        prepared[site.name] = PreparedSite(len(checked), bad, suspicious, flow, site.cache.quality_page)
    return prepared


def _splits(experiment: Experiment, sites: Sequence[Site], only: str | None) -> dict[str, dict[str, str]]:
    """Return site → group → split, as a run assigns them.

    A cross-validation has none, as its folds differ; nor has one site alone whose groups are split with others' groups.
    """
    if experiment.validation is not None and experiment.fold is None:
        return {}
    groups = {site.name: site.shared_groups(site.records) for site in sites}
    if only is not None and any(groups.values()):
        return {}
    shared = split_shared(experiment, list(groups.values()))
    return {site.name: site.assign(site.records, shared) for site in sites}


def read_tables(sites: Sequence[Site]) -> None:
    """Read the tables of all sites, before any scan is read.

    Raises:
        InputError: If a table is invalid, no one at any of these sites is of one of the classes, or a site has too few
            people for the folds of a cross-validation.
    """
    labels = {record.label for site in sites for record in site.cohort.records}
    names = sites[0].experiment.outcome.strata
    own = [site.name for site in sites if site.section.labels is not None]
    of_sites = f" of {'site' if len(own) == 1 else 'sites'} {', '.join(own)}" if len(own) == len(sites) else ""
    notes = [f"{site.name}: {line}" for site in sites for line in site.cohort.empty_classes]
    require_every_class([label in labels for label in range(len(names))], names, of_sites, notes)
    for site in sites:
        site.require_enough_people(site.cohort.records)


def require_roots(experiment: Experiment) -> None:
    """Check that all sites' folders or tables exist, before any scan is read. Raises `InputError` with all problems."""
    problems = []
    for site in experiment.sites:
        if site.root is None:
            problems.append(f"site {site.name}: `root`, its folder or table of paths, is missing")
        elif not site.root.exists():
            problems.append(f"site {site.name}: {site.root}: no such folder or table; correct `root`")
    if problems:
        raise InputError("\n".join(problems))
