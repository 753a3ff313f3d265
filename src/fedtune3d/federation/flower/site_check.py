"""Checks of a site's setup, to be run before joining a federation (`fedtune3d site check`)."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SitePaths
from fedtune3d.cohorts.reading import list_columns, list_diagnoses
from fedtune3d.cohorts.records import DIAGNOSIS
from fedtune3d.federation.flower.reachability import clock_problem, contact_server
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.privacy.approval import Approvals
from fedtune3d.federation.privacy.secure_aggregation.key_files import read_identity, read_trusted

SCAN_BYTES = 55_000_000
"""Rounded up: a prepared scan (4 MB) and its features before the neck (50 MB)."""


@dataclass(frozen=True)
class Finding:
    """The outcome of a check: whether it passed, and a line for the user."""

    good: bool
    text: str


def check_site(folder: Path) -> Iterator[Finding]:
    """Run all checks in turn; only invalid settings stop them early."""
    try:
        settings = SiteSettings.read(folder)
    except InputError as error:
        yield Finding(False, str(error))
        return
    yield Finding(True, f"site.yaml: site {settings.name}, server {settings.server}")
    for check in (_key, _signing, _data, _encoders, _disk, _minimums, _approvals, _server):
        yield from _run_check(check, folder, settings)


def _run_check(
    check: Callable[[Path, SiteSettings], Iterator[Finding]], folder: Path, settings: SiteSettings
) -> Iterator[Finding]:
    try:
        yield from check(folder, settings)
    except InputError as error:
        yield Finding(False, str(error))


def _key(folder: Path, settings: SiteSettings) -> Iterator[Finding]:
    path = SitePaths(folder).key
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: the key is encrypted
        raise InputError(f"{path}: expected the site's private key; {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{path}: expected an ECDSA key (ssh-keygen -t ecdsa -b 384), got another kind")
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path}: others on this machine can read the key; chmod 600 {path}")
    yield Finding(True, f"key: {path}")


def _signing(folder: Path, settings: SiteSettings) -> Iterator[Finding]:
    """Check the keys of secure aggregation, where the site has made one or does not train without."""
    if not settings.signing_key.exists() and settings.policy.secure_aggregation == "allowed":
        return
    identity, trusted = read_identity(settings.signing_key), read_trusted(settings.trusted)
    yield Finding(True, f"signing key: {settings.signing_key}, fingerprint {identity.fingerprint}")
    named = ", ".join(sorted(trusted)) or "nobody; compare fingerprints, then `fedtune3d site trust NAME FINGERPRINT`"
    yield Finding(bool(trusted), f"trusted for secure aggregation: {named}")


def _data(folder: Path, settings: SiteSettings) -> Iterator[Finding]:
    if not settings.data.exists():
        raise InputError(f"{settings.data}: no such folder or table; correct `data` in site.yaml")
    withdrawn = len(Approvals(SitePaths(folder).approvals).withdrawn())
    without = f"; {withdrawn} withdrawn, who are excluded" if withdrawn else ""
    yield Finding(True, f"data: {settings.data}, {_people(settings.data)}{without}")


def _people(data: Path) -> str:
    if DIAGNOSIS not in (columns := list_columns(data)):
        return f"no column {DIAGNOSIS}: an experiment's labels must name another of {', '.join(columns)}"
    diagnoses = list_diagnoses(data)
    listed = ", ".join(f"{name} ({count})" for name, count in sorted(diagnoses.items()))
    return f"{diagnoses.total()} people: {listed}"


def _encoders(folder: Path, settings: SiteSettings) -> Iterator[Finding]:
    """Load the site's own encoders, whose SHA-256 people compare with the experiment's."""
    for own in settings.install_encoders():
        yield Finding(True, f"encoder {own.name}: {own.path}, SHA-256 {own.sha256}; code that the gate cannot contain")


def _disk(folder: Path, settings: SiteSettings) -> Iterator[Finding]:
    settings.work.mkdir(parents=True, exist_ok=True)
    if not os.access(settings.work, os.W_OK):
        raise InputError(f"{settings.work}: cannot be written to; correct `work` in site.yaml")
    free = shutil.disk_usage(settings.work).free
    scans = sum(1 for _ in settings.data.rglob("*_T1w.nii.gz")) if settings.data.is_dir() else 0
    needed = scans * SCAN_BYTES
    text = f"disk: {free / 1e9:,.0f} GB free in {settings.work}; {scans} scans need up to {needed / 1e9:,.1f} GB"
    yield Finding(free > needed, text)


def _minimums(folder: Path, settings: SiteSettings) -> Iterator[Finding]:
    policy = settings.policy
    yield Finding(
        True,
        f"policy: an experiment needs at least {policy.min_per_class} people of each class here; nothing leaves about "
        f"a split with fewer than {policy.min_people} of a class, so the training set needs {policy.min_people} each",
    )
    yield Finding(True, f"columns that labels may use: {', '.join(settings.columns) or 'none'}")


def _approvals(folder: Path, settings: SiteSettings) -> Iterator[Finding]:
    standing = [approval for approval in Approvals(SitePaths(folder).approvals).all() if approval.revoked is None]
    listed = ", ".join(f"{approval.name} ({approval.short})" for approval in standing)
    advice = f"none yet; run `fedtune3d site approve {folder} experiment.yaml`"
    yield Finding(True, f"approved experiments: {listed or advice}")


def _server(folder: Path, settings: SiteSettings) -> Iterator[Finding]:
    if settings.insecure:
        yield Finding(False, f"server {settings.server}: `insecure` is set in site.yaml, so traffic is not encrypted")
        return
    contact = contact_server(folder, settings)
    yield Finding(True, f"server {settings.server}: answers over {contact.tls} with this federation's certificate")
    problem = clock_problem(contact.ahead_seconds)
    yield Finding(problem is None, problem or f"clock: within {abs(contact.ahead_seconds) + 1:.0f} s of the server's")
