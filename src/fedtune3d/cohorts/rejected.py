"""Scans that a site excludes by a list, such as the one that its page of quality control writes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.people import ACCEPTED, identified_rows
from fedtune3d.cohorts.records import REJECTED, Cohort, Exclusion, ScanRecord, scan_name
from fedtune3d.cohorts.tables import read_table
from fedtune3d.cohorts.warnings import UnreadableValues

COLUMNS = ("participant_id", "session_id", "reason")


@dataclass(frozen=True)
class RejectedScan:
    """A scan that the site excludes, and why; without a session, all scans of the person."""

    participant_id: str
    session_id: str
    reason: str

    def matches(self, record: ScanRecord) -> bool:
        """Return whether it excludes a record."""
        return record.participant_id == self.participant_id and self.session_id in ("", record.session_id)


def read_rejected(path: Path) -> list[RejectedScan]:
    """Read a TSV of scans to exclude, with the columns `COLUMNS`; an empty session means all scans of the person.

    Raises:
        InputError: If the file is missing or malformed, or a row has no reason.
    """
    table = read_table(path, COLUMNS, "a table of scans to exclude")
    rejected = []
    for line, (participant, session), row in identified_rows(table, UnreadableValues(ACCEPTED)):
        if (reason := row["reason"]) is None:
            raise InputError(f"{path}: line {line}: expected a reason, which the report counts, got none; write one")
        rejected.append(RejectedScan(participant, session, reason))
    return rejected


def without_rejected(cohort: Cohort, rejected: Sequence[RejectedScan], path: Path) -> Cohort:
    """Return the cohort without the listed scans, which become exclusions with their reason.

    Raises:
        InputError: If a row names a scan that the site does not have, or no scan is left; names the file.
    """
    left_out = {entry.participant_id for entry in cohort.exclusions}
    reasons: dict[ScanRecord, str] = {}
    for entry in rejected:
        matching = [record for record in cohort.records if entry.matches(record)]
        if not matching and entry.participant_id not in left_out:
            name = scan_name(entry.participant_id, entry.session_id)
            raise InputError(
                f"{path}: expected scans of this site, got {name}, which it does not have; correct the row"
            )
        reasons |= dict.fromkeys(matching, entry.reason)
    records = tuple(record for record in cohort.records if record not in reasons)
    if not records:
        raise InputError(f"{path}: excludes every usable scan of the site; remove rows")
    exclusions = [Exclusion(record.participant_id, REJECTED, reason, 1) for record, reason in reasons.items()]
    return replace(cohort, records=records, exclusions=(*cohort.exclusions, *exclusions))
