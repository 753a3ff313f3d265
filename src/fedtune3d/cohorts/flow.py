"""The flow of participants: counts of those found, left out (with reasons), and in each split.

These are the counts of a flow diagram (STARD 2015, item 19; CONSORT 2010, item 13). For participants and for scans,
found equals left out plus included. A person is left out for the reason that excluded the last of their scans.
"""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fedtune3d.cohorts.records import FAULT, REASONS, Cohort, Exclusion, ScanRecord
from fedtune3d.cohorts.splits import SPLITS
from fedtune3d.cohorts.warnings import ReadingWarning

WHOLE_SITE = "all"


@dataclass(frozen=True)
class Counts:
    """Numbers of participants and scans; None if a number is suppressed at its site."""

    participants: int | None
    scans: int | None

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(_add(self.participants, other.participants), _add(self.scans, other.scans))

    @property
    def held_back(self) -> bool:
        """True if either number is suppressed."""
        return self.participants is None or self.scans is None

    def masked(self, min_people: int) -> "Counts":
        """Suppress both counts if either is at least 1 but below `min_people`.

        Scans are checked, too: scans can be left out without any participant, and few scans are of few people.
        """
        few = any(count is not None and 0 < count < min_people for count in (self.participants, self.scans))
        return HELD_BACK if few else self


NOBODY = Counts(0, 0)
HELD_BACK = Counts(None, None)


@dataclass(frozen=True)
class LeftOut:
    """Participants and scans left out for one of `records.REASONS`, with a detail from the site's table."""

    reason: str
    detail: str
    counts: Counts


@dataclass(frozen=True)
class ByClass:
    """Counts of each class, in the order of labels; none if all of them are suppressed at their site."""

    classes: tuple[Counts, ...]

    @property
    def total(self) -> Counts:
        """Counts over all classes."""
        return sum(self.classes, NOBODY) if self.classes else HELD_BACK

    def of(self, label: int) -> Counts:
        """Return the counts of a class."""
        return self.classes[label] if self.classes else HELD_BACK


@dataclass(frozen=True)
class Flow:
    """The flow of a site's participants, without any id.

    Attributes:
        found: All participants and scans.
        left_out: Those left out, in the order in which the reasons are checked.
        included: All others.
        several_classes: Included participants with scans in several classes, who count in the last one, and all their
            scans.
        splits: Included participants by class: `WHOLE_SITE`, and after splitting ``train``, ``validation``, ``test``.
    """

    found: Counts
    left_out: tuple[LeftOut, ...]
    included: Counts
    several_classes: Counts
    splits: dict[str, ByClass]


EVERY_CLASS_HELD_BACK = ByClass(())
NOTHING_SHOWN = Flow(HELD_BACK, (), HELD_BACK, HELD_BACK, dict.fromkeys((WHOLE_SITE, *SPLITS), EVERY_CLASS_HELD_BACK))
"""A flow of which the site holds everything back."""


@dataclass(frozen=True)
class BadScan:
    """A bad scan, named by participant and session, and the reason; stays at its site."""

    scan: str
    why: str


@dataclass(frozen=True)
class SiteFlow:
    """The flow kept at a site: all counts, without suppression, the bad scans, and what could not be read.

    Attributes:
        flow: The flow.
        bad_scans: The bad scans.
        warnings: Unreadable entries of tables and sidecars.
        flagged: The number of prepared scans that quality control finds suspicious; None in folders that do not say.
        applied: Step of preparation → number of prepared scans that underwent it, and ``scans`` → that of all prepared
            scans; None in folders that do not say.
    """

    flow: Flow
    bad_scans: tuple[BadScan, ...]
    warnings: tuple[ReadingWarning, ...] = ()
    flagged: int | None = None
    applied: Mapping[str, int] | None = None


def count_flow(
    cohort: Cohort,
    bad: Iterable[tuple[ScanRecord, str]] = (),
    splits: Mapping[str, str] | None = None,
    classes: int = 2,
) -> Flow:
    """Count the flow of a site.

    Args:
        cohort: The site's cohort.
        bad: Records that could not be prepared, each with the error message.
        splits: Group → split, if the site is already split.
        classes: Number of classes.
    """
    faults = dict(bad)
    exclusions = [*cohort.exclusions, *(_fault(record, why) for record, why in faults.items())]
    included = [record for record in cohort.records if record not in faults]
    left_out = _count_left_out(exclusions, {record.participant_id for record in included})
    by_class = [_people(included, label) for label in range(classes)]
    several = {person for person in set().union(*by_class) if sum(person in people for people in by_class) > 1}
    parts = {WHOLE_SITE: included}
    if splits is not None:
        parts |= {split: [record for record in included if splits[record.group_id] == split] for split in SPLITS}
    return Flow(
        found=sum((step.counts for step in left_out), _count(included)),
        left_out=left_out,
        included=_count(included),
        several_classes=_count([record for record in included if record.participant_id in several]),
        splits={name: _count_classes(records, classes) for name, records in parts.items()},
    )


def leaving(flow: Flow, details: bool, min_people: int = 1, small: Collection[str] = ()) -> Flow:
    """Return the flow with the counts that may leave its site.

    Args:
        flow: The site's flow, without suppression.
        details: Whether the details of reasons, quoted from the site's table (such as diagnoses), may leave.
        min_people: Counts from 1 to below this number are suppressed, as are totals that would reveal them.
        small: Splits of which no count leaves.
    """
    steps = [
        replace(step, counts=step.counts.masked(min_people))
        for step in (flow.left_out if details else _without_details(flow.left_out))
    ]
    splits = {
        name: EVERY_CLASS_HELD_BACK
        if name in small
        else ByClass(tuple(counts.masked(min_people) for counts in classes.classes))
        for name, classes in flow.splits.items()
    }
    splits_shown = not any(classes.total.held_back for classes in splits.values())
    if not splits_shown:
        splits[WHOLE_SITE] = EVERY_CLASS_HELD_BACK
    all_shown = splits_shown and not any(step.counts.held_back for step in steps)
    return Flow(
        found=flow.found.masked(min_people) if all_shown else HELD_BACK,
        left_out=tuple(steps),
        included=flow.included.masked(min_people) if splits_shown else HELD_BACK,
        several_classes=flow.several_classes.masked(min_people),
        splits=splits,
    )


def without_folder(record: ScanRecord, why: str) -> str:
    """Return the reason why a record is bad without its path, naming other files without their folder."""
    return why.removeprefix(f"{record.path}: ").replace(f"{record.path.parent}{os.sep}", "")


def _fault(record: ScanRecord, why: str) -> Exclusion:
    """Summarise a fault without file names, as what the error message says was expected."""
    expected = re.search(r"expected [^,;]+", without_folder(record, why))
    return Exclusion(record.participant_id, FAULT, expected[0] if expected else "", 1)


def _count_left_out(exclusions: Sequence[Exclusion], included: set[str]) -> tuple[LeftOut, ...]:
    last = {exclusion.participant_id: exclusion for exclusion in exclusions}
    counts: dict[tuple[str, str], Counts] = {}
    for exclusion in exclusions:
        person = exclusion.participant_id
        excludes_person = person not in included and last[person] is exclusion
        reason = (exclusion.reason, exclusion.detail)
        counts[reason] = counts.get(reason, NOBODY) + Counts(int(excludes_person), exclusion.scans)
    ordered = sorted(counts, key=lambda reason: (REASONS.index(reason[0]), reason[1]))
    return tuple(LeftOut(*reason, counts[reason]) for reason in ordered)


def _without_details(steps: Sequence[LeftOut]) -> list[LeftOut]:
    counts: dict[str, Counts] = {}
    for step in steps:
        counts[step.reason] = counts.get(step.reason, NOBODY) + step.counts
    return [LeftOut(reason, "", total) for reason, total in counts.items()]


def _add(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _count(records: Sequence[ScanRecord]) -> Counts:
    return Counts(len({record.participant_id for record in records}), len(records))


def _people(records: Iterable[ScanRecord], label: int) -> set[str]:
    return {record.participant_id for record in records if record.label == label}


def _count_classes(records: Sequence[ScanRecord], classes: int) -> ByClass:
    """Count scans by their own class, and participants with scans in several classes in the last of them."""
    counts: list[Counts] = []
    later: set[str] = set()
    for label in reversed(range(classes)):
        people = _people(records, label)
        counts.insert(0, Counts(len(people - later), sum(record.label == label for record in records)))
        later |= people
    return ByClass(tuple(counts))
