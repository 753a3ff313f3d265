"""The report of a run in progress, redrawn on request if the run folder has changed."""

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from fedtune3d._utils.folders import RunFolder
from fedtune3d.report.number_formatting import plural
from fedtune3d.report.page import asset, environment, render_live
from fedtune3d.report.run_contents import RunContents, read_run, version_of

PACE = 5
"""Number of recent rounds whose median duration predicts the time left; the first round also encodes the scans."""


class LivePage:
    """The page and the status of a run folder; safe to call from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._contents: tuple[str, RunContents | None] | None = None
        self._page: tuple[str, str] | None = None

    def status(self) -> Mapping[str, str]:
        """Return `version`, which changes whenever the page would, and `status`, one sentence on the run's progress."""
        with self._lock:
            version, contents = self._read()
        return {"version": version, "status": "Running: starting up." if contents is None else status_of(contents)}

    def html(self) -> str:
        """Return the page, whose script follows the run; a waiting page if there is no run folder yet."""
        live = dict(self.status())
        with self._lock:
            version, contents = self._read()
            if self._page is None or self._page[0] != version:
                live["version"] = version
                self._page = (version, _waiting(live) if contents is None else render_live(contents, live))
            return self._page[1]

    def _read(self) -> tuple[str, RunContents | None]:
        version = version_of(self.folder)  # read before the contents: at worst the page is drawn once too often
        if self._contents is None or self._contents[0] != version:
            has_begun = RunFolder(self.folder).config.exists()
            self._contents = (version, read_run(self.folder) if has_begun else None)
        return self._contents


def status_of(contents: RunContents) -> str:
    """Describe the progress of a run: `Running: round 3 of 10, about 4 min left in the rounds.`"""
    rounds = contents.config["training"]["rounds"]
    seconds = [line.seconds for line in contents.ledger if line.trains]
    if contents.metrics:
        return "Running: writing the report."
    if len(seconds) == rounds:
        after = "baselines and evaluation follow" if contents.config.get("baselines") else "evaluation follows"
        return f"Running: all {plural(rounds, 'round')} are done; {after}."
    if not contents.environment:
        return f"Running: the sites prepare their scans; {plural(rounds, 'round')} to come."
    left = f", {about((rounds - len(seconds)) * median(seconds[-PACE:]))} left in the rounds" if seconds else ""
    return f"Running: round {len(seconds) + 1} of {rounds}{left}."


def about(seconds: float) -> str:
    """Format an estimated duration: `under a minute`, `about 4 min`, `about 2 h 10 min`."""
    minutes = math.ceil(seconds / 60)
    if minutes <= 1:
        return "under a minute"
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60 // 10 * 10} min"


def _waiting(live: Mapping[str, str]) -> str:
    template = environment().get_template("waiting.html")
    return template.render(live=live, style=asset("report.css"), script=asset("page.js"), watch=asset("watch.js"))
