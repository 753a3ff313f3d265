"""Who was found, who was left out and why, and who is in which split: the flow of participants, as counts.

The counts behind a flow diagram (STARD 2015, item 19; CONSORT 2010, item 13): in participants and in scans, found is
left out plus included. A person is left out for the reason that took the last of their scans.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedtune3d.cohorts.records import FAULT, REASONS, Cohort, Exclusion, ScanRecord
from fedtune3d.cohorts.splits import SPLITS

Counts = dict[str, int]
"""``participants`` and ``scans``."""


def count_flow(
    cohort: Cohort, bad: Iterable[tuple[ScanRecord, str]] = (), splits: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The flow of a site as JSON values, without any id.

    Args:
        cohort: What was read.
        bad: Records that could not be prepared, each with the message.
        splits: Group → split, where the site is split already.

    Returns:
        ``found`` and ``included`` (participants and scans), ``left_out`` (a list of the same with ``reason`` and
        ``detail``, in the order asked), ``both_classes`` (participants included with scans in both, who count as
        positive, and all their scans), and ``participants`` and ``scans``: split → [negative, positive], under ``all``
        the sum.
    """
    faults = dict(bad)
    exclusions = [*cohort.exclusions, *(_fault(record, why) for record, why in faults.items())]
    included = [record for record in cohort.records if record not in faults]
    left_out = _count_left_out(exclusions, {record.participant_id for record in included})
    kept = _count(included)
    found = {unit: kept[unit] + sum(step[unit] for step in left_out) for unit in kept}
    both = _people(included, 0) & _people(included, 1)
    parts = {"all": included}
    if splits is not None:
        parts |= {split: [record for record in included if splits[record.group_id] == split] for split in SPLITS}
    return {
        "found": found,
        "left_out": left_out,
        "included": kept,
        "both_classes": _count([record for record in included if record.participant_id in both]),
        "participants": {name: _participants_by_class(records) for name, records in parts.items()},
        "scans": {
            name: [sum(one.label == label for one in records) for label in (0, 1)] for name, records in parts.items()
        },
    }


def leaving(flow: Mapping[str, Any], details: bool, least: int = 1) -> dict[str, Any]:
    """What of a flow may leave its site.

    Args:
        flow: As `count_flow` gives it.
        details: Whether the details of reasons may leave: words of the site's own table, such as diagnoses.
        least: Counts from 1 to below it become None, and so do the totals that would give them away.
    """
    left_out = [dict(step) for step in flow["left_out"]]
    if not details:
        left_out = _merge(left_out)

    def masked(counts: Mapping[str, Any], all_shown: bool = True) -> dict[str, Any]:
        return {
            name: (_mask(value, least) if all_shown else None) if isinstance(value, int) else value
            for name, value in counts.items()
        }

    steps = [masked(step) for step in left_out]
    by_split = {
        unit: {name: [_mask(count, least) for count in counts] for name, counts in flow[unit].items()}
        for unit in ("participants", "scans")
    }
    splits_shown = not any(None in counts for unit in by_split.values() for counts in unit.values())
    if not splits_shown:
        by_split = {unit: parts | {"all": [None, None]} for unit, parts in by_split.items()}
    return {
        "found": masked(flow["found"], splits_shown and not any(None in step.values() for step in steps)),
        "left_out": steps,
        "included": masked(flow["included"], splits_shown),
        "both_classes": masked(flow["both_classes"]),
        **by_split,
    }


def without_folder(record: ScanRecord, why: str) -> str:
    """Why a record is at fault, without its path, and other files beside it by name only; folders stay."""
    return why.removeprefix(f"{record.path}: ").replace(f"{record.path.parent}{os.sep}", "")


def _fault(record: ScanRecord, why: str) -> Exclusion:
    """A fault in a few words that name no file: what was expected, from the message that says so."""
    expected = re.search(r"expected [^,;]+", without_folder(record, why))
    return Exclusion(record.participant_id, FAULT, expected[0] if expected else "", 1)


def _count_left_out(exclusions: Sequence[Exclusion], included: set[str]) -> list[dict[str, Any]]:
    last = {one.participant_id: one for one in exclusions if one.participant_id not in included}
    steps: dict[tuple[str, str], dict[str, Any]] = {}
    for one in exclusions:
        empty: dict[str, Any] = {"reason": one.reason, "detail": one.detail, "participants": 0, "scans": 0}
        step = steps.setdefault((one.reason, one.detail), empty)
        step["scans"] += one.scans
        step["participants"] += last.get(one.participant_id) is one
    return [steps[key] for key in sorted(steps, key=lambda key: (REASONS.index(key[0]), key[1]))]


def _merge(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for step in steps:
        whole = merged.setdefault(step["reason"], step | {"detail": "", "participants": 0, "scans": 0})
        for unit in ("participants", "scans"):
            whole[unit] += step[unit]
    return list(merged.values())


def _mask(count: int, least: int) -> int | None:
    return None if 0 < count < least else count


def _count(records: Sequence[ScanRecord]) -> Counts:
    return {"participants": len({record.participant_id for record in records}), "scans": len(records)}


def _people(records: Iterable[ScanRecord], label: int) -> set[str]:
    return {record.participant_id for record in records if record.label == label}


def _participants_by_class(records: Sequence[ScanRecord]) -> list[int]:
    positive = _people(records, 1)
    return [len(_people(records, 0) - positive), len(positive)]
