"""SHA-256 hashes of the scans and tables behind a site's run; the list stays at the site."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.files import sha256_file
from fedtune3d.cohorts.records import ScanRecord


@dataclass(frozen=True)
class SiteInputs:
    """A site's inputs, under names without paths, as folders may be named after people.

    Attributes:
        files: ``scan NAME``, ``sidecar NAME`` or ``table FILE`` → SHA-256 in hexadecimal.
    """

    files: dict[str, str]


def list_inputs(root: Path, records: Iterable[ScanRecord], participants: Path | None) -> SiteInputs:
    """Hash the inputs of a site. Raises `OSError` if a file cannot be read."""
    return SiteInputs({name: sha256_file(path) for name, path in input_paths(root, records, participants).items()})


def input_paths(root: Path, records: Iterable[ScanRecord], participants: Path | None) -> dict[str, Path]:
    """Find the scans of a site with their sidecars, and the tables that their labels come from.

    Args:
        root: The site's folder, or its table of paths.
        records: The scans in use.
        participants: The participants table, if it is not in the site's folder.
    """
    tables = [root] if root.is_file() else [*root.glob("*.tsv"), *root.glob("*.json"), *root.glob("sub-*/*.tsv")]
    paths = {f"table {path.name}": path for path in sorted(tables)}
    if participants is not None:
        paths["table of participants"] = participants
    for record in records:
        paths[f"scan {record.name}"] = record.path
        paths[f"sidecar {record.name}"] = record.path.with_name(record.path.name.split(".")[0] + ".json")
    return {name: path for name, path in paths.items() if path.is_file()}
