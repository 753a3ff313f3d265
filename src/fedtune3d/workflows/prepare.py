"""`fedtune3d prepare`: every scan of the sites in the form that the model takes, and what is wrong with the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Progress
from fedtune3d.cohorts.flow import Flow, count_flow, without_folder
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.splitting import require_both_labels
from fedtune3d.preparation.quality.page import write_quality
from fedtune3d.workflows.sites import make_sites


@dataclass(frozen=True)
class PreparedSite:
    """What `prepare` tells of a site.

    Attributes:
        scans: How many are prepared.
        bad: Those left out, and why.
        suspicious: Those that quality control says to look at, and why; they take part.
        flow: Of its participants.
        warnings: What could not be read and was left aside, counted.
        page: The page of quality control.
    """

    scans: int
    bad: list[tuple[str, str]]
    suspicious: list[tuple[str, str]]
    flow: Flow
    warnings: tuple[str, ...]
    page: Path


def prepare_sites(
    experiment: Experiment, progress: Progress, workers: int, only: str | None = None
) -> dict[str, PreparedSite]:
    """Prepare the scans of every site, or of the one named. All tables are read before the first scan."""
    sites = make_sites(experiment, RunFolder(experiment.output), progress, workers=workers, only=only)
    require_roots(experiment)
    for site in sites:
        _ = site.cohort
    found = {}
    for site in sites:
        bad = [(record.name, without_folder(record, why)) for record, why in site.prepared.bad]
        checked = write_quality(site.cache.path, site.name, site.prepared)
        suspicious = [(scan.record.name, "; ".join(scan.reasons)) for scan in checked if scan.reasons]
        warnings = (*site.cohort.warnings, *site.prepared.warnings)
        flow = count_flow(site.cohort, site.prepared.bad)
        found[site.name] = PreparedSite(len(checked), bad, suspicious, flow, warnings, site.cache.quality_page)
    return found


def read_tables(sites: Sequence[Site]) -> None:
    """Read who is at every site, before the first scan of any is touched.

    Raises:
        InputError: If a table is at fault, or nobody at any of these sites is of one class.
    """
    labels = {record.label for site in sites for record in site.cohort.records}
    require_both_labels([0 in labels, 1 in labels])


def require_roots(experiment: Experiment) -> None:
    """All sites whose folder or table is not there, together, before any scan is read."""
    problems = []
    for site in experiment.sites:
        if site.root is None:
            problems.append(f"site {site.name}: `root`, its folder or table of paths, is missing")
        elif not site.root.exists():
            problems.append(f"site {site.name}: {site.root}: no such folder or table; correct `root`")
    if problems:
        raise InputError("\n".join(problems))
