"""What a site's cohort is made of: scans, each with its label, its person and its group."""

from dataclasses import dataclass, field
from pathlib import Path

from fedtune3d.errors import InputError


@dataclass(frozen=True)
class LabelMapping:
    """Which diagnosis values count as positive (label 1) and as negative (label 0); any other is left out.

    Values are compared as written in participants.tsv, without surrounding blanks. Raises `InputError` when a list is
    empty or a value stands in both.
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, values in (("positive", self.positive), ("negative", self.negative)):
            if not values:
                raise InputError(f"labels.{name}: expected at least one diagnosis value, got none; name one")
        both = sorted(set(self.positive) & set(self.negative))
        if both:
            raise InputError(
                f"labels: expected a diagnosis in one list, but {', '.join(both)} stands in positive and in negative; "
                "take it out of one"
            )

    def label(self, diagnosis: str) -> int | None:
        """1, 0, or None where the diagnosis stands in neither list."""
        if diagnosis in self.positive:
            return 1
        return 0 if diagnosis in self.negative else None


@dataclass(frozen=True)
class ScanRecord:
    """One T1-weighted scan of one person.

    `participant_id` starts with ``sub-`` and `session_id` with ``ses-`` (or is empty when the person has no session
    folders), however they are written in participants.tsv. People of one `group_id` must not be split; where none is
    declared it is the participant's id.
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
    diagnosis: str

    @property
    def name(self) -> str:
        """Participant and session as BIDS writes them, such as ``sub-01_ses-M00``."""
        return f"{self.participant_id}_{self.session_id}" if self.session_id else self.participant_id


@dataclass(frozen=True)
class Cohort:
    """The usable scans of a site, in the order of participant and session, and what was left out, counted by reason."""

    site: str
    records: tuple[ScanRecord, ...]
    excluded: dict[str, int] = field(default_factory=dict)
