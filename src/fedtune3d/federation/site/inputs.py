"""The scans and tables that a site's run was made from, by their SHA-256; the list stays at the site."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.files import sha256_file
from fedtune3d.cohorts.records import ScanRecord


@dataclass(frozen=True)
class SiteInputs:
    """The inputs of a site.

    Attributes:
        root: The folder that the names count from, absolute.
        files: Name of each scan, sidecar and table → its SHA-256 in hexadecimal.
    """

    root: str
    files: dict[str, str]


def list_inputs(root: Path, records: Iterable[ScanRecord], participants: Path | None) -> SiteInputs:
    """List the scans of a site with their sidecars, and the tables that their labels come from.

    Args:
        root: The site's folder, or its table of paths.
        records: The scans in use.
        participants: The table of participants, where it stands elsewhere.

    Raises:
        OSError: If a file cannot be read.
    """
    folder = (root if root.is_dir() else root.parent).absolute()
    tables = {root} if root.is_file() else {*root.glob("*.tsv"), *root.glob("*.json"), *root.glob("sub-*/*.tsv")}
    scans = {record.path for record in records}
    sidecars = {path.with_name(path.name.split(".")[0] + ".json") for path in scans}
    extra = {participants} if participants is not None else set()
    files = [path.absolute() for path in tables | scans | sidecars | extra if path.is_file()]
    return SiteInputs(str(folder), {_name(path, folder): sha256_file(path) for path in sorted(files)})


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
