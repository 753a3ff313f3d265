"""`fedtune3d site log`: all that left a site, over all its runs, refusals included."""

from pathlib import Path

from fedtune3d._utils.folders import SiteWork
from fedtune3d._utils.folders.site import SiteFolder
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.privacy.egress_log import EgressEntry, EgressManifest


def read_log(folder: Path) -> list[EgressEntry]:
    """Read every message that left a site, by time.

    Raises:
        DamagedFileError: Naming the file and line that are not what was written, or that lines are missing.
    """
    work = SiteSettings.read(folder).work
    paths = [SiteWork(work).egress, *(SiteFolder(site).egress for site in sorted(work.glob("runs/*/sites/*")))]
    entries = [entry for path in paths for entry in EgressManifest(path).entries()]
    return sorted(entries, key=lambda entry: entry.time)
