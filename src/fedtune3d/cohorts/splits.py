"""Train, validation and test sets: stratified by class, with groups kept together, determined by the seed."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.sealed import read_sealed_text, write_sealed_text
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.cohorts.class_cover import ClassCounts, ClassCover
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.evaluation.outcome import NEGATIVE, POSITIVE

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
DEFAULT_FRACTIONS = (0.5, 0.2, 0.3)
COLUMNS = ("participant_id", "session_id", "group_id", "label", "split")
Part = TypeVar("Part", str, int)
"""A split, or the number of a fold."""
_FILLING_ORDER = (0, 2, 1)  # train, then test, then validation
_ATTEMPTS = 50
"""Draws among which the one is taken whose sets lack least; the first draw if nothing is missing in it."""


def count_groups(records: Iterable[ScanRecord], classes: int = 2) -> dict[str, tuple[int, ...]]:
    """Count the scans of each group by class, in the order of labels."""
    counts: dict[str, tuple[int, ...]] = {}
    for record in records:
        before = counts.get(record.group_id, (0,) * classes)
        counts[record.group_id] = tuple(count + (record.label == label) for label, count in enumerate(before))
    return counts


def count_by_quantile(records: Sequence[ScanRecord]) -> dict[str, tuple[int, ...]]:
    """Count the scans of each group by quartile of the number to predict, over these scans.

    As `count_groups`, so that people are split with a similar distribution of the number in each set. Scans with equal
    numbers are in the same quartile.
    """
    numbers = np.array([record.number for record in records], dtype=np.float64)
    quartiles = np.searchsorted(np.quantile(numbers, (0.25, 0.5, 0.75)) if len(numbers) else [], numbers, side="left")
    return count_groups(
        [replace(record, label=int(quartile)) for record, quartile in zip(records, quartiles, strict=True)], classes=4
    )


def split_sizes(n_groups: int, fractions: Sequence[float] = DEFAULT_FRACTIONS) -> tuple[int, int, int]:
    """Compute the number of groups of one class in (train, validation, test), by largest remainder.

    Ties go to train, then test, then validation: 15 groups at 50/20/30 give 8, 3, 4. If there are enough groups, no set
    with a positive fraction is empty; otherwise train is filled first, then test, then validation.

    Raises:
        ValueError: If there are not three fractions, one is negative, or they do not sum to 1.
    """
    shares = [Fraction(str(fraction)) for fraction in fractions]
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares, Fraction(-1))) > Fraction(1, 10**6):
        raise ValueError(f"fractions: expected three numbers of at least 0 that sum to 1, got {tuple(fractions)}")
    quotas = [n_groups * share for share in shares]
    sizes = [int(quota) for quota in quotas]
    by_remainder = sorted(_FILLING_ORDER, key=lambda split: sizes[split] - quotas[split])
    for split in by_remainder[: n_groups - sum(sizes)]:
        sizes[split] += 1
    required = [split for split in _FILLING_ORDER if shares[split] > 0][:n_groups]
    for split in required:
        if sizes[split] == 0:
            sizes[max(_FILLING_ORDER, key=lambda other: (sizes[other], other not in required))] -= 1
            sizes[split] = 1
    return sizes[0], sizes[1], sizes[2]


def sizes_of_strata(strata: Mapping[str, int], fractions: Sequence[float]) -> dict[str, tuple[int, int, int]]:
    """Compute the number of groups of each stratum in (train, validation, test), so that all together are as asked.

    Over all strata the numbers are those of `split_sizes`, however few groups a stratum has. Places are given one by
    one to the stratum and split that lack most of their share.

    Args:
        strata: Stratum → number of groups.
        fractions: As in `split_sizes`.
    """
    shares = [Fraction(str(fraction)) for fraction in fractions]
    lacking = {(name, split): strata[name] * shares[split] for name in sorted(strata) for split in _FILLING_ORDER}
    sizes = dict.fromkeys(lacking, 0)
    left_in, left_of = dict(strata), dict(enumerate(split_sizes(sum(strata.values()), fractions)))
    for _ in range(sum(strata.values())):
        cell = max((cell for cell in sizes if left_in[cell[0]] and left_of[cell[1]]), key=lambda cell: lacking[cell])
        sizes[cell] += 1
        lacking[cell] -= 1
        left_in[cell[0]] -= 1
        left_of[cell[1]] -= 1
    return {name: (sizes[name, 0], sizes[name, 1], sizes[name, 2]) for name in sorted(strata)}


def assign_splits(
    groups: Mapping[str, ClassCounts],
    seed: int,
    scope: str,
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    sites: Sequence[Mapping[str, ClassCounts]] | None = None,
    by_number: bool = False,
) -> dict[str, str]:
    """Assign each group to ``train``, ``validation`` or ``test``, stratified by class.

    A group's class is that of most of its scans; of equally many the last. In each class, the numbers of groups are
    those of `split_sizes`; groups with many scans are distributed so that each set's mean number of scans per group is
    close to the class's. Where a set of a site would lack a class although there are groups for it, groups of a class
    exchange their sets, or else a group is moved (`class_cover.ClassCover`).

    The strata of a number (`count_by_quantile`) are no classes: the sizes of the sets are those of all groups together
    (`sizes_of_strata`), and no set must have every quartile.

    Args:
        groups: Group → scans of each class, in any order; see `count_groups`.
        seed: The experiment's seed.
        scope: The site's name, or ``shared`` for groups that several sites declare.
        fractions: Shares of train, validation and test.
        sites: Each site's own counts of these groups; None if they are all of one site.
        by_number: Whether the counts are of strata of a number.
    """
    classes = classes_of(groups)
    of_class = Counter(classes.values())
    sizes = (
        sizes_of_strata(of_class, fractions)
        if by_number
        else {name: split_sizes(count, fractions) for name, count in of_class.items()}
    )
    covered = sites or [groups]
    if by_number:
        covered = [{group: (sum(counts),) for group, counts in site.items()} for site in covered]
    cover = ClassCover(covered, [SPLITS[split] for split in _FILLING_ORDER if fractions[split] > 0])
    best: dict[str, str] = {}
    for attempt in range(_ATTEMPTS):
        causes: tuple[str | int, ...] = ("splits", seed, scope, *([attempt] if attempt else []))
        splits = _draw_splits(groups, classes, sizes, causes)
        if cover.lack(splits):
            splits = cover.mend(splits, classes, numpy_rng(*causes, "cover"))
        if not best or cover.lack(splits) < cover.lack(best):
            best = splits
        if not cover.lack(best):
            break
    return dict(sorted(best.items()))


def classes_of(groups: Mapping[str, ClassCounts]) -> dict[str, str]:
    """Return group → the name of its class, that of most of its scans; of equally many the last."""
    return {group: _class_of(counts) for group, counts in groups.items()}


def label_of(counts: ClassCounts) -> int:
    """Return a group's class, that of most of its scans; of equally many the last."""
    return max(range(len(counts)), key=lambda label: (counts[label], label))


def _class_of(counts: ClassCounts) -> str:
    """Return the name of a group's class, from which its draws follow; of two, those that they always had."""
    label = label_of(counts)
    return (NEGATIVE, POSITIVE)[label] if len(counts) == 2 else f"class {label}"


def _draw_splits(
    groups: Mapping[str, ClassCounts],
    classes: Mapping[str, str],
    sizes: Mapping[str, tuple[int, int, int]],
    causes: tuple[str | int, ...],
) -> dict[str, str]:
    """Deal the groups of each class to training, validation and test."""
    splits: dict[str, str] = {}
    for class_name in sorted(sizes):
        scans = {group: sum(counts) for group, counts in groups.items() if classes[group] == class_name}
        places = {SPLITS[split]: sizes[class_name][split] for split in _FILLING_ORDER}
        splits |= deal(scans, places, (*causes, class_name))
    return splits


def deal(scans: Mapping[str, int], sizes: Mapping[Part, int], causes: tuple[str | int, ...]) -> dict[str, Part]:
    """Deal groups, those of a stratum in random order, each to the part that lacks most scans per group.

    Args:
        scans: Group → number of scans.
        sizes: Part → number of groups, which sum to those dealt; of equal parts, the first one comes first.
        causes: Seed of the order.
    """
    open_places = dict(sizes)
    mean = Fraction(sum(scans.values()), max(1, len(scans)))
    lacking = {part: places * mean for part, places in open_places.items()}
    shuffled = numpy_rng(*causes).permutation(sorted(scans)).tolist()
    strata = _strata(scans, len(sizes))
    dealt: dict[str, Part] = {}
    for group in sorted(shuffled, key=lambda group: strata[group]):
        part = max(
            (part for part, places in open_places.items() if places),
            key=lambda part: lacking[part] / open_places[part],
        )
        open_places[part] -= 1
        lacking[part] -= scans[group]
        dealt[group] = part
    return dealt


def _strata(scans: Mapping[str, int], parts: int) -> dict[str, int]:
    """Return group → its stratum, 0 for the largest groups: all within a factor of two, at least one for each part.

    Chance decides within strata, so that different seeds give different sets even if all groups differ in size.
    """
    strata: dict[str, int] = {}
    stratum, members, largest, before = 0, 0, 0, 0
    for group, size in sorted(scans.items(), key=lambda item: (-item[1], item[0])):
        if members >= parts and 2 * size <= largest and size != before:
            stratum, members = stratum + 1, 0
        largest = largest if members else size
        strata[group], members, before = stratum, members + 1, size
    return strata


def write_splits(path: Path, records: Iterable[ScanRecord], splits: Mapping[str, str]) -> None:
    """Write one row per scan, tab-separated and atomically. Raises `KeyError` for a group without a split."""
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        split = splits[record.group_id]
        writer.writerow((record.participant_id, record.session_id or "n/a", record.group_id, record.label, split))
    write_sealed_text(path, table.getvalue())


def read_splits(path: Path) -> dict[str, str]:
    """Read group → split, as written by `write_splits`.

    Raises:
        InputError: If the file is missing or malformed, or a group is in two splits.
    """
    splits: dict[str, str] = {}
    for number, row in _read_rows(path):
        group, split = row[2], row[4]
        if splits.setdefault(group, split) != split:
            raise InputError(
                f"{path}: line {number}: group {group} is in both {splits[group]} and {split}; keep it in one"
            )
    return splits


def read_splits_of_scans(path: Path) -> dict[tuple[str, str], str]:
    """Read (participant, session) → split. Raises `InputError` if the file is missing or malformed."""
    return {(row[0], "" if row[1] == "n/a" else row[1]): row[4] for _, row in _read_rows(path)}


def _read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of each row of a table of splits."""
    try:
        rows = list(csv.reader(io.StringIO(read_sealed_text(path), newline=""), delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a table of splits; {error}") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise InputError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, found {', '.join(rows[0]) if rows else 'none'}"
        )
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS) or row[4] not in SPLITS:
            raise InputError(
                f"{path}: line {number}: expected {len(COLUMNS)} fields, the last one of {', '.join(SPLITS)}, got {row}"
            )
        yield number, row
