"""Folds: everybody is tested once per repeat, classes and sites alike, and nobody is in two folds."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import scan_records

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.folds import Fold, assign_fold, deal_folds, require_enough_people
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.splits import DEFAULT_FRACTIONS

SETS = ("train", "validation", "test")
FOLDS = [Fold(1, number, 5) for number in range(1, 6)]


def make_record(participant: str, label: int, session: str = "") -> ScanRecord:
    record = scan_records.make_record(Path(f"{participant}_T1w.nii.gz"))
    return replace(record, label=label, session_id=session)


def people(negatives: int, positives: int) -> dict[str, tuple[int, int]]:
    return {f"n{number:02d}": (1, 0) for number in range(negatives)} | {
        f"p{number:02d}": (0, 1) for number in range(positives)
    }


def test_everybody_is_tested_exactly_once_in_a_repeat() -> None:
    groups = people(33, 27)
    for repeat in (1, 2):
        splits = [assign_fold(groups, 0, "A", DEFAULT_FRACTIONS, Fold(repeat, number, 5)) for number in range(1, 6)]
        assert all(of_fold.keys() == groups.keys() for of_fold in splits)
        tested = Counter(group for of_fold in splits for group, split in of_fold.items() if split == "test")
        assert tested == dict.fromkeys(groups, 1)


@pytest.mark.parametrize(("negatives", "positives"), [(33, 27), (30, 30), (7, 5), (61, 8)])
def test_folds_differ_by_at_most_one_in_each_class_and_in_all(negatives: int, positives: int) -> None:
    dealt = deal_folds(people(negatives, positives), 4, "A", FOLDS[0])
    for start in ("n", "p", ""):
        sizes = Counter(fold for group, fold in dealt.items() if group.startswith(start))
        assert set(sizes) == {1, 2, 3, 4, 5}
        assert max(sizes.values()) - min(sizes.values()) <= 1, start


def test_folds_follow_from_seed_site_and_repeat() -> None:
    groups = people(20, 20)
    first = deal_folds(groups, 3, "A", Fold(1, 1, 4))
    assert first == deal_folds(dict(reversed(groups.items())), 3, "A", Fold(1, 3, 4))
    others = [
        deal_folds(groups, *causes)
        for causes in ((4, "A", Fold(1, 1, 4)), (3, "B", Fold(1, 1, 4)), (3, "A", Fold(2, 1, 4)))
    ]
    assert all(other != first for other in others)


def test_the_others_are_divided_in_the_ratio_of_training_to_validation() -> None:
    splits = assign_fold(people(50, 50), 0, "A", DEFAULT_FRACTIONS, FOLDS[2])  # 0.5 to 0.2 of 80
    counts = Counter((group[0], split) for group, split in splits.items())
    assert counts == {(label, split): size for label in "np" for split, size in zip(SETS, (29, 11, 10), strict=True)}


def test_the_inner_validation_is_drawn_again_in_each_fold() -> None:
    groups = people(40, 40)
    validated = [
        {
            group
            for group, split in assign_fold(groups, 0, "A", DEFAULT_FRACTIONS, fold).items()
            if split == "validation"
        }
        for fold in FOLDS
    ]
    assert len(set(map(frozenset, validated))) == 5


def test_large_groups_are_spread_over_the_folds() -> None:
    """Ten people with six scans and forty with one, all positive."""
    groups = {f"p{number:02d}": (0, 6 if number < 10 else 1) for number in range(50)}
    dealt = deal_folds(groups, 0, "A", FOLDS[0])
    scans = Counter[int]()
    for group, fold in dealt.items():
        scans[fold] += sum(groups[group])
    assert set(scans.values()) == {20}


def test_groups_of_several_sites_are_spread_at_each_of_them() -> None:
    """Ten positive groups at A and B, ten at A alone: each fold has two of each."""
    groups = {f"g{number:02d}": (0, 1) for number in range(20)}
    at_both = {group: groups[group] for group in sorted(groups)[:10]}
    dealt = deal_folds(groups, 1, "shared", FOLDS[0], [groups, at_both])
    for of_site in (groups, at_both):
        assert set(Counter(dealt[group] for group in of_site).values()) == {len(of_site) // 5}


def test_a_site_with_fewer_people_of_a_class_than_folds_is_refused() -> None:
    records = [make_record(f"sub-n{number}", 0) for number in range(9)]
    records += [make_record(f"sub-p{number}", 1, session) for number in range(4) for session in ("ses-1", "ses-2")]
    names = ("negative", "positive")
    require_enough_people(records, 4, "A", names)
    require_enough_people(records, 0, "A", names)  # no cross-validation
    said = r"validation.folds: expected at most 4, the number of people of class positive at site A, got 5; "
    with pytest.raises(InputError, match=said):
        require_enough_people(records, 5, "A", names)
    require_enough_people([record for record in records if record.label == 0], 5, "A", names)  # it has no AUC anyway
