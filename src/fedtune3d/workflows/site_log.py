"""`fedtune3d site log`: all that left a site, refusals included, over all its runs or in one on this machine."""

from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SitePaths, SiteWork
from fedtune3d._utils.folders.site import SiteFolder
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.privacy.egress_log import EgressEntry, EgressManifest


def read_log(folder: Path) -> list[EgressEntry]:
    """Read every message that left a site, by time: over all its runs, or in the one run that the folder is part of.

    Args:
        folder: The site's folder, with its site.yaml, or a site's part of a run folder, such as ``run/sites/A``.

    Raises:
        DamagedFileError: Naming the file and line that are not what was written, or that lines are missing.
        InputError: If it is neither; for a run folder with its sites.
    """
    entries = [entry for path in _logs(folder) for entry in EgressManifest(path).entries()]
    return sorted(entries, key=lambda entry: entry.time)


def _logs(folder: Path) -> list[Path]:
    if not SitePaths(folder).settings.exists():
        if (log := SiteFolder(folder).egress).exists():
            return [log]
        if sites := [path for path in sorted(folder.glob("sites/*")) if SiteFolder(path).egress.exists()]:
            raise InputError(f"{folder}: a run folder of several sites; name one of them: {', '.join(map(str, sites))}")
    work = SiteSettings.read(folder).work
    return [SiteWork(work).egress, *(SiteFolder(site).egress for site in sorted(work.glob("runs/*/sites/*")))]
