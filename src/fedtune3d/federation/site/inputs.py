"""SHA-256 hashes of the scans and tables behind a site's run; the list stays at the site."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.files import sha256_file
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.preparation.store import scan_sha256


@dataclass(frozen=True)
class SiteInputs:
    """A site's inputs, under names without paths, as folders may be named after people.

    Attributes:
        files: ``scan NAME``, ``sidecar NAME`` or ``table FILE`` → SHA-256 in hexadecimal.
    """

    files: dict[str, str]


def list_inputs(root: Path, prepared: Mapping[ScanRecord, Path], participants: Path | None) -> SiteInputs:
    """List the inputs of a site with their hashes; those of the scans are known since these were prepared.

    Args:
        root: The site's folder, or its table of paths.
        prepared: Where each scan in use was prepared to.
        participants: The table of participants, where it stands elsewhere.

    Raises:
        DamagedFileError: If the record of a prepared scan is damaged.
        OSError: If a table or sidecar cannot be read.
    """
    known = {f"scan {record.name}": scan_sha256(path) for record, path in prepared.items()}
    paths = input_paths(root, {record.name: record.path for record in prepared}, participants)
    return SiteInputs({name: known.get(name) or sha256_file(path) for name, path in paths.items()})


def input_paths(root: Path, scans: Mapping[str, Path], participants: Path | None) -> dict[str, Path]:
    """Find the scans of a site with their sidecars, and the tables that their labels come from.

    Args:
        root: The site's folder, or its table of paths.
        scans: Scans by their names.
        participants: The participants table, if it is not in the site's folder.
    """
    tables = [root] if root.is_file() else [*root.glob("*.tsv"), *root.glob("*.json"), *root.glob("sub-*/*.tsv")]
    paths = {f"table {path.name}": path for path in sorted(tables)}
    if participants is not None:
        paths["table of participants"] = participants
    for name, scan in scans.items():
        paths[f"scan {name}"] = scan
        paths[f"sidecar {name}"] = scan.with_name(scan.name.split(".")[0] + ".json")
    return {name: path for name, path in paths.items() if path.is_file()}


def is_table(name: str) -> bool:
    """Return whether an input is a table, judging by its name, and not a scan or a sidecar."""
    return name.startswith("table ")
