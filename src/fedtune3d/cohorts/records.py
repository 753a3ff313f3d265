"""The parts of a site's cohort: scans with label, person and group, and exclusions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fedtune3d.cohorts.missing_columns import missing_columns_line
from fedtune3d.cohorts.warnings import ReadingWarning

DIAGNOSIS = "diagnosis"

NO_SCAN = "no T1w scan"
NO_ROW = "not in the table"
NOT_CHOSEN = "session not chosen"
FURTHER_SCAN = "further T1w scan of a session"
CRITERION_UNKNOWN = "inclusion criterion not known"
NOT_INCLUDED = "inclusion criterion not met"
LABEL_UNKNOWN = "label not known"
OTHER_LABEL = "neither positive nor negative"
BOTH_LABELS = "both positive and negative"
NO_CLASS = "in none of the classes"
SEVERAL_CLASSES = "in several classes"
NO_NUMBER = "number not known"
REJECTED = "excluded by the site"
FAULT = "scan at fault"
REASONS = (
    NO_ROW,
    NO_SCAN,
    NOT_CHOSEN,
    FURTHER_SCAN,
    CRITERION_UNKNOWN,
    NOT_INCLUDED,
    LABEL_UNKNOWN,
    OTHER_LABEL,
    BOTH_LABELS,
    NO_CLASS,
    SEVERAL_CLASSES,
    NO_NUMBER,
    REJECTED,
    FAULT,
)
"""Reasons for exclusion, in the order in which they are checked."""


@dataclass(frozen=True)
class Unlabelled:
    """A row without a label: one of `REASONS`, and a detail from the site's table."""

    reason: str
    detail: str


@dataclass(frozen=True)
class ScanRecord:
    """A T1-weighted scan of a person.

    `participant_id` starts with ``sub-`` and `session_id` with ``ses-`` (or is empty if the person has no session
    folders), however they are written in the table. People with the same `group_id` must be in the same split; it
    defaults to the participant's id. `label` is the index of the class, and 0 for everyone where a `number` is
    predicted.
    """

    site: str
    participant_id: str
    session_id: str
    path: Path
    label: int
    group_id: str
    group_declared: bool
    age: float | None
    sex: str | None
    diagnosis: str | None
    number: float | None = None

    @property
    def name(self) -> str:
        """Participant and session in BIDS notation, such as ``sub-01_ses-M00``."""
        return scan_name(self.participant_id, self.session_id)


def scan_name(participant: str, session: str) -> str:
    """The name of a person's scan at a session, which is empty where there are no sessions."""
    return f"{participant}_{session}" if session else participant


@dataclass(frozen=True)
class Exclusion:
    """Scans of a person (or, with 0 scans, the person) left out for one of `REASONS`."""

    participant_id: str
    reason: str
    detail: str
    scans: int


@dataclass(frozen=True)
class Cohort:
    """The usable scans of a site, sorted by participant and session; the exclusions; and warnings.

    `empty_classes` has a line for each class that no row of the tables is in. The lines have words of the tables: they
    are for the site itself. `columns` are those of the tables; empty where they are not known.
    """

    site: str
    records: tuple[ScanRecord, ...]
    exclusions: tuple[Exclusion, ...] = ()
    warnings: tuple[ReadingWarning, ...] = ()
    empty_classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about the site's tables: classes without any participant, and missing columns."""
        missing = missing_columns_line(self.columns) if self.columns else ""
        return (*self.empty_classes, *filter(None, [missing]))

    def without(self, leaves_out: Callable[[str], bool]) -> "Cohort":
        """Return the cohort as if the tables had never named some participants."""
        return replace(
            self,
            records=tuple(record for record in self.records if not leaves_out(record.participant_id)),
            exclusions=tuple(entry for entry in self.exclusions if not leaves_out(entry.participant_id)),
        )
