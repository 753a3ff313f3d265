"""Recognise new scans that were part of a run, as far as the sites' halves of its folder are present."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.files import sha256_file
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.cohorts.records import scan_name
from fedtune3d.cohorts.splits import read_splits_of_scans
from fedtune3d.federation.site.inputs import SiteInputs

_ADVICE = "copy the run folder again"
_SCAN = "scan "


@dataclass(frozen=True)
class KnownScan:
    """The site and the set (``train``, ``validation`` or ``test``) of a run in which a scan was."""

    site: str
    split: str


class KnownScans:
    """The scans of a run by their bytes; none where only the half of the folder that may leave is present.

    Raises:
        InputError: If a list of scans or splits is damaged.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._by_hash = dict(_known_scans(folder))

    def find(self, scan: Path) -> KnownScan | None:
        """Return where a scan was in the run; None if its bytes are not those of a scan of the run."""
        return self._by_hash.get(sha256_file(scan)) if self._by_hash else None


def _known_scans(folder: RunFolder) -> Iterator[tuple[str, KnownScan]]:
    for site in folder.site_folders:
        if not site.inputs.exists() or not site.splits.exists():
            continue
        hashes = read_typed(SiteInputs, site.inputs, _ADVICE).files
        for (participant, session), split in read_splits_of_scans(site.splits).items():
            if (sha256 := hashes.get(f"{_SCAN}{scan_name(participant, session)}")) is not None:
                yield sha256, KnownScan(site.path.name, split)
