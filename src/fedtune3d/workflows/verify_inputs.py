"""Compare a site's own scans and tables with those that its runs read, which are listed by their SHA-256."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d._utils.folders import SiteFolder, SitePaths
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.cohorts.formats import AUTO
from fedtune3d.cohorts.reading import list_scans
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.site.inputs import SiteInputs, input_paths, is_table
from fedtune3d.workflows.verify import AGAIN_BY_RUN, Damage

ADVICE = "restore it, or run again with another `output`"


@dataclass(frozen=True)
class SiteSource:
    """Paths of a site's scans and tables, and their format."""

    name: str
    root: Path
    format: str = AUTO
    participants: Path | None = None


def verify_inputs(folder: Path, given: Path) -> tuple[Damage, ...]:
    """Find the inputs that are no longer what the runs in a folder read.

    Args:
        folder: A run folder, a study, or a site's folder.
        given: What says where the inputs are: an experiment file, or, at a hospital, the site's folder.

    Raises:
        InputError: If that cannot be read, or the folder has no list of inputs of any of the sites.
    """
    sources = _sources(given)
    lists = {source: _lists_of(source, folder) for source in sources}
    if not any(lists.values()):
        names = ", ".join(source.name for source in sources)
        raise InputError(f"{folder}: expected a run of {names}, found no list of inputs; leave --inputs out")
    return tuple(damage for source, paths in lists.items() for damage in _changed(source, paths))


def _sources(given: Path) -> list[SiteSource]:
    if given.is_dir() or given.name == SitePaths(given.parent).settings.name:
        settings = SiteSettings.read(given if given.is_dir() else given.parent)
        return [SiteSource(settings.name, settings.data, participants=settings.participants)]
    sites = Experiment.from_yaml(given).sites
    if missing := [site.name for site in sites if site.root is None]:
        raise InputError(f"{given}: site {missing[0]}: `root`, its folder or table of paths, is not given")
    return [SiteSource(site.name, site.root, site.format, site.participants) for site in sites if site.root]


def _lists_of(source: SiteSource, folder: Path) -> list[Path]:
    name = SiteFolder(folder).inputs.name
    return [path for path in sorted(folder.rglob(name)) if path.parent.name == source.name]


def _changed(source: SiteSource, lists: list[Path]) -> Iterator[Damage]:
    if not lists:
        return
    if not source.root.exists():
        raise InputError(f"{source.root}: no such folder or table, which site {source.name} was read from")
    scans: dict[str, Path] | None = None
    try:
        scans = list_scans(source.root, source.format, source.participants)
    except InputError as error:  # a table that cannot be read has certainly changed, and is found below
        yield Damage(source.root, f"its scans cannot be listed, so they were not compared ({error})", ADVICE)
    now = input_paths(source.root, scans or {}, source.participants)
    known = sorted({item for path in lists for item in _read_list(path) if scans is not None or is_table(item[0])})
    for name, digest in known:
        if name not in now:
            yield Damage(source.root, f"{name}, which the run read, is missing", ADVICE)
        elif sha256_file(now[name]) != digest:
            yield Damage(now[name], "has changed since the run read it", ADVICE)


def _read_list(path: Path) -> Iterable[tuple[str, str]]:
    try:
        return read_typed(SiteInputs, path, AGAIN_BY_RUN).files.items()
    except DamagedFileError:
        return ()  # `verify_folder` reports it
