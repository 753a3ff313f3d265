"""The page of a site that has joined a federation, drawn from its own ledgers and served on its own machine."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from fedtune3d._utils.folders import SitePaths, SiteWork
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.privacy.egress_log import EgressEntry
from fedtune3d.report.page import asset, environment
from fedtune3d.report.run_contents import stamp
from fedtune3d.report.site_contents import SiteContents, read_site_contents

SHOWN_MESSAGES = 25
ReadLog = Callable[[Path], Sequence[EgressEntry]]


class SitePage:
    """The page and the status of a site's folder; safe to call from several threads.

    Args:
        folder: The site's folder.
        read_log: Reads everything that left the site.
    """

    def __init__(self, folder: Path, read_log: ReadLog) -> None:
        self.folder = folder
        self.read_log = read_log
        self._lock = threading.Lock()
        self._contents: tuple[str, SiteContents] | None = None
        self._started = f"{datetime.now():%H:%M}"

    def status(self) -> Mapping[str, str]:
        """Return `version`, which changes whenever the page would, and `status`, one sentence."""
        with self._lock:
            version, contents = self._read()
        return {"version": version, "status": status_of(contents)}

    def html(self) -> str:
        """Return the page, whose script follows the site's ledgers."""
        with self._lock:
            version, contents = self._read()
        live = {"version": version, "status": status_of(contents), "started": self._started}
        return (
            environment()
            .get_template("site.html")
            .render(
                site=contents,
                live=live,
                shown=list(reversed(contents.log[-SHOWN_MESSAGES:])),
                style=asset("report.css"),
                script=asset("page.js"),
                watch=asset("watch.js"),
            )
        )

    def _read(self) -> tuple[str, SiteContents]:
        version = self._version()  # read before the contents: at worst the page is drawn once too often
        if self._contents is None or self._contents[0] != version:
            self._contents = (version, read_site_contents(self.folder, self.read_log(self.folder)))
        return self._contents

    def _version(self) -> str:
        paths, settings = SitePaths(self.folder), SiteSettings.read(self.folder)
        logs = sorted(settings.work.glob("runs/*/sites/*/egress.jsonl"))
        files = (paths.settings, paths.approvals, paths.charges, paths.spending, SiteWork(settings.work).egress, *logs)
        return "-".join(map(stamp, files))


def status_of(contents: SiteContents) -> str:
    """Say in one sentence what the site does: ``Joined: …, last task answered at 09:14.``"""
    current = [asked for asked in contents.asked if asked.approval.revoked is None and asked.answered]
    at = f"last task answered at {contents.last_answer:%H:%M}" if contents.last_answer else "no task answered yet"
    if not contents.asked:
        return "Joined: no experiment is approved here, so none is answered."
    if not current:
        return f"Joined: waiting for the first task; {at}."
    asked = max(current, key=lambda found: found.last)
    of = "" if asked.rounds is None else f" of {asked.rounds}"
    return f"Joined: {asked.approval.name}, round {asked.round}{of}; {at}."
