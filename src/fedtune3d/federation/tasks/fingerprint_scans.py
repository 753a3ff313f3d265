"""Fingerprint the scans of a site for the leak audit."""

from dataclasses import replace
from typing import Annotated, ClassVar

from fedtune3d._utils.files import write_text
from fedtune3d.cohorts.splits import read_splits_of_scans
from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import NOTHING, Declaration, Exactly, Reveals
from fedtune3d.federation.site.audit import Fingerprinter, ScanFingerprint, read_key
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.tasks.kind import TaskKind


class FingerprintScans(Instruction):
    """Fingerprint every usable scan.

    Attributes:
        near: Whether to compute near fingerprints, too, which take about half a second per scan.
    """

    kind: ClassVar[str] = "fingerprint_scans"
    near: bool = False

    @property
    def purpose(self) -> str:
        """``near`` or ``exact``."""
        return "near" if self.near else "exact"


NO_KEY = "no fingerprint_key"
SMALL_SPLIT = "its fingerprints stay there, as a split has fewer people of a class than policy.min_people"
OF_ONE = Declaration(Reveals.IDENTIFIER, Exactly(1))


class ScanFingerprints(Payload):
    """Fingerprints of a site's scans; none where a split is too small for its scans to be counted.

    Attributes:
        key: Shows the server that all sites used one key, without revealing it; None without fingerprints.
        scans: One row per scan; none without a key.
        why: Why there are no fingerprints; None if there are.
    """

    key: Annotated[str | None, replace(OF_ONE, meaning="proof that all sites used one key")] = None
    scans: Annotated[tuple[ScanFingerprint, ...], replace(OF_ONE, meaning="keyed code of each scan")] = ()
    why: Annotated[str | None, NOTHING] = None


def fingerprint_scans(site: SiteData, task: Task) -> Answer:
    """Fingerprint the site's scans; the table that translates shown names back stays in the site's cache."""
    policy, key = site.section.policy, site.key
    if site.section.fingerprint_key is not None:
        key = read_key(site.name, site.section.fingerprint_key)
    if key is None:
        return Answer(site.name, ScanFingerprints(why=NO_KEY))
    if site.small_splits():
        return Answer(site.name, ScanFingerprints(why=SMALL_SPLIT))
    fingerprinter = Fingerprinter(site.name, key, policy.names_leave, policy.groups_leave)
    if not policy.names_leave:
        own_names = (name for record in site.records for name in (record.participant_id, record.name))
        names = {fingerprinter.shown(name): name for name in own_names}
        write_text(site.cache.names, "".join(f"{shown}\t{name}\n" for shown, name in names.items()))
    splits = read_splits_of_scans(site.files.splits)
    with site.progress.bar(f"{site.name}: fingerprinting scans") as advance:
        near = task.expect(FingerprintScans).near
        rows = fingerprinter.fingerprint(site.prepared.paths, splits, near, advance)
    return Answer(site.name, ScanFingerprints(key=fingerprinter.key_check, scans=rows))


KIND = TaskKind(
    FingerprintScans,
    ScanFingerprints,
    fingerprint_scans,
    max_json_bytes=64 << 20,
    contents="keyed codes of each scan, to find people who are at two sites",
)
