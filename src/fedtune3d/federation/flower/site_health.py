"""Whether a site is well, for its hospital's monitoring: process, server, certificates, disk."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SitePaths, SiteWork
from fedtune3d.federation.flower.certificates import read_certificate
from fedtune3d.federation.flower.reachability import DAY_SECONDS, clock_problem, contact_server
from fedtune3d.federation.flower.site_folder import SiteSettings

OK, WARNING, CRITICAL = 0, 1, 2
"""Exit codes as Nagios, Icinga and Zabbix read them."""
SILENT_SECONDS = 120.0
"""Age of the last sign of life after which `site join` counts as not running."""
WARN_DAYS, URGENT_DAYS = 30, 7
WARN_BYTES, URGENT_BYTES = 10e9, 1e9


@dataclass(frozen=True)
class Health:
    """One line of the report: its level, an exit code, and its text."""

    level: int
    text: str


def site_health(folder: Path, now: Callable[[], float] = time.time) -> Iterator[Health]:
    """Look at a site's folder and its server; only unusable settings end the report early."""
    try:
        settings = SiteSettings.read(folder)
    except InputError as error:
        yield Health(CRITICAL, str(error))
        return
    work = SiteWork(settings.work)
    yield _process(work, now())
    yield _last_task(work, now())
    yield _disk(settings.work)
    if not settings.insecure:
        yield _certificate("authority", SitePaths(folder).certificate, now())
        yield from _server(folder, settings)


def _process(work: SiteWork, now: float) -> Health:
    if not work.alive.exists():
        return Health(CRITICAL, "process: `fedtune3d site join` has not run here")
    age = now - work.alive.stat().st_mtime
    running = age <= SILENT_SECONDS
    return Health(OK if running else CRITICAL, f"process: `fedtune3d site join` gave its last sign of life {_ago(age)}")


def _last_task(work: SiteWork, now: float) -> Health:
    if not work.answered.exists():
        return Health(OK, "last contact: no task has been answered yet")
    return Health(OK, f"last contact: a task was answered {_ago(now - work.answered.stat().st_mtime)}")


def _disk(folder: Path) -> Health:
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    level = CRITICAL if free < URGENT_BYTES else WARNING if free < WARN_BYTES else OK
    return Health(level, f"disk: {free / 1e9:,.1f} GB free in {folder}")


def _certificate(whose: str, path: Path, now: float) -> Health:
    try:
        expires = read_certificate(path, "ask the server's operator for it").not_valid_after_utc.timestamp()
    except InputError as error:
        return Health(CRITICAL, f"certificate of the {whose}: {error}")
    return days_left(whose, (expires - now) / DAY_SECONDS)


def days_left(whose: str, days: float) -> Health:
    """The level of a certificate that expires in so many days."""
    level = CRITICAL if days < URGENT_DAYS else WARNING if days < WARN_DAYS else OK
    return Health(level, f"certificate of the {whose}: {days:,.0f} days left")


def _server(folder: Path, settings: SiteSettings) -> Iterator[Health]:
    try:
        contact = contact_server(folder, settings)
    except InputError as error:
        yield Health(WARNING, f"{error} (no server is needed between runs)")
        return
    yield Health(OK, f"server {settings.server}: answers over {contact.tls}")
    yield days_left("server", contact.certificate_days)
    if problem := clock_problem(contact.ahead_seconds):
        yield Health(CRITICAL, problem)


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:,.0f} h ago"
