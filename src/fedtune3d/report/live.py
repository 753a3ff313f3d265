"""The report of a run in progress, redrawn on request if the run folder has changed."""

import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from fedtune3d._utils.folders import RunFolder
from fedtune3d.report.live_progress import seconds_left, stages
from fedtune3d.report.number_formatting import about, plural
from fedtune3d.report.page import asset, environment, render_live
from fedtune3d.report.run_contents import RunContents, read_run, version_of


class LivePage:
    """The page and the status of a run folder; safe to call from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._contents: tuple[str, RunContents | None] | None = None
        self._page: tuple[str, str] | None = None
        self._started = f"{datetime.now():%H:%M}"

    def status(self) -> Mapping[str, str]:
        """Return `version`, which changes whenever the page would, and `status`, one sentence on the run's progress."""
        with self._lock:
            version, contents = self._read()
        return {"version": version, "status": "Running: starting up." if contents is None else status_of(contents)}

    def html(self) -> str:
        """Return the page, whose script follows the run; a waiting page if there is no run folder yet."""
        live = dict(self.status()) | {"started": self._started}
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
    """Describe the progress of a run: `Running: round 3 of 10, about 4 min left in the rounds, about 9 min in all.`"""
    rounds = contents.config["training"]["rounds"]
    parts = stages(contents)
    if contents.metrics:
        return "Running: writing the report."
    if not contents.environment:
        return f"Running: the sites prepare their scans; {plural(rounds, 'round')} to come."
    whole = seconds_left(contents)
    in_all = "" if whole is None else f", {about(whole)} in all"
    federated = parts[1]
    if federated.finished:
        now = next(stage for stage in parts if not stage.finished)
        return (
            f"Running: all {plural(rounds, 'round')} are done; {now.title.lower()}{in_all.replace(' in all', ' left')}."
        )
    left = "" if federated.seconds_left is None else f", {about(federated.seconds_left)} left in the rounds{in_all}"
    return f"Running: round {federated.done + 1} of {rounds}{left}."


def _waiting(live: Mapping[str, str]) -> str:
    template = environment().get_template("waiting.html")
    return template.render(live=live, style=asset("report.css"), script=asset("page.js"), watch=asset("watch.js"))
