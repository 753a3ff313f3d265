import dataclasses
import random
from collections import Counter
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.sealed import CHECKSUMS, write_sealed_text
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.splits import (
    SPLITS,
    _class_of,
    assign_splits,
    count_by_quantile,
    count_groups,
    read_splits,
    sizes_of_strata,
    split_sizes,
    write_splits,
)


def make_record(participant: str, label: int, session: str = "", group: str | None = None) -> ScanRecord:
    return ScanRecord(
        site="A",
        participant_id=participant,
        session_id=session,
        path=Path(f"{participant}_T1w.nii.gz"),
        label=label,
        group_id=group or participant,
        group_declared=group is not None,
        age=None,
        sex=None,
        diagnosis="AD" if label else "CN",
    )


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (0, (0, 0, 0)),
        (1, (1, 0, 0)),
        (2, (1, 0, 1)),
        (3, (1, 1, 1)),
        (4, (2, 1, 1)),
        (5, (3, 1, 1)),
        (7, (4, 1, 2)),
        (10, (5, 2, 3)),
        (15, (8, 3, 4)),
        (100, (50, 20, 30)),
    ],
)
def test_sizes_by_largest_remainder(groups: int, expected: tuple[int, int, int]) -> None:
    assert split_sizes(groups) == expected


@pytest.mark.parametrize(
    ("groups", "fractions", "expected"),
    [
        (3, (0.8, 0.1, 0.1), (1, 1, 1)),
        (2, (0.1, 0.1, 0.8), (1, 0, 1)),
        (3, (0.7, 0.0, 0.3), (2, 0, 1)),
        (1, (0.1, 0.1, 0.8), (1, 0, 0)),
        (4, (0.0, 0.5, 0.5), (0, 2, 2)),
    ],
)
def test_no_wanted_set_is_empty_while_there_are_groups(groups: int, fractions: tuple, expected: tuple) -> None:
    assert split_sizes(groups, fractions) == expected


def test_sizes_always_sum_and_fill_train_then_test_then_validation() -> None:
    for fractions in ((0.5, 0.2, 0.3), (0.9, 0.05, 0.05), (0.05, 0.05, 0.9), (0.34, 0.33, 0.33)):
        for groups in range(60):
            train, validation, test = split_sizes(groups, fractions)
            assert train + validation + test == groups
            assert (train > 0, test > 0, validation > 0) == (groups > 0, groups > 1, groups > 2)


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.2, 0.0), (0.5, 0.5)])
def test_wrong_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three numbers of at least 0 that sum to 1"):
        split_sizes(10, fractions)


def test_each_class_is_split_by_its_own_sizes() -> None:
    groups = {f"p{i}": (0, 1) for i in range(10)} | {f"n{i}": (1, 0) for i in range(20)}
    splits = assign_splits(groups, seed=1, scope="A")
    assert Counter((group[0], split) for group, split in splits.items()) == {
        ("p", "train"): 5,
        ("p", "validation"): 2,
        ("p", "test"): 3,
        ("n", "train"): 10,
        ("n", "validation"): 4,
        ("n", "test"): 6,
    }


def test_same_causes_same_splits_whatever_the_order() -> None:
    groups = {f"g{i}": (i % 3, i % 2) for i in range(40)}
    shuffled = list(groups.items())
    random.Random(3).shuffle(shuffled)
    first = assign_splits(groups, seed=1, scope="A")
    assert assign_splits(dict(shuffled), seed=1, scope="A") == first
    assert assign_splits(groups, seed=2, scope="A") != first
    assert assign_splits(groups, seed=1, scope="B") != first


def test_splits_are_pinned_so_that_old_runs_stay_valid() -> None:
    groups = {f"g{i}": (1, 0) for i in range(8)}
    splits = assign_splits(groups, seed=1, scope="A")
    assert " ".join(splits[f"g{i}"] for i in range(8)) == "train validation train train test validation test train"


def test_every_group_visits_every_set_over_seeds() -> None:
    groups = {f"g{i}": (1, 0) for i in range(6)}
    seen = {(group, split) for seed in range(60) for group, split in assign_splits(groups, seed, "A").items()}
    assert len(seen) == 18


def test_a_mixed_group_counts_for_its_majority_and_ties_for_positive() -> None:
    groups = {"tie": (1, 1), "mostly-negative": (2, 1), "negative": (1, 0)}
    splits = assign_splits(groups, seed=1, scope="A")
    assert splits["tie"] == "train"  # the only positive group
    assert splits["mostly-negative"] == "test"  # the only other one with a positive scan
    assert splits["negative"] == "validation"  # each of the three has a negative scan


def test_groups_with_many_scans_are_spread() -> None:
    groups = {f"one{i}": (1, 0) for i in range(14)} | {f"many{i}": (9, 0) for i in range(6)}
    for seed in range(10):
        scans: Counter[str] = Counter()
        for group, split in assign_splits(groups, seed, "A").items():
            scans[split] += groups[group][0]
        assert scans == {"train": 34, "validation": 12, "test": 22}  # 3, 1 and 2 of the large ones


def test_seeds_differ_where_all_groups_differ_in_size() -> None:
    """Ten people, five of each class: 20 pairs of one positive and one negative person could be a test set."""
    for sizes in ([20 + number for number in range(10)], [3**number for number in range(10)]):
        groups = {f"g{number}": (size, 0) if number % 2 else (0, size) for number, size in enumerate(sizes)}
        tests = {
            tuple(group for group, split in assign_splits(groups, seed, "shared").items() if split == "test")
            for seed in range(200)
        }
        assert len(tests) >= 12


@pytest.mark.parametrize("seed", range(12))
def test_every_set_of_every_site_has_both_classes(seed: int) -> None:
    """Four sites share 16 people, half of them each at two sites: a site has at least three of each class."""
    people = [(f"p{number}", number % 2, {number // 2 % 4, (number // 2 + number // 8) % 4}) for number in range(16)]
    sites = [{name: ((0, 2) if label else (2, 0)) for name, label, at in people if site in at} for site in range(4)]
    assert all(sum(bool(counts[label]) for counts in site.values()) >= 3 for site in sites for label in (0, 1))
    totals = {name: tuple(len(at) * count for count in ((0, 2) if label else (2, 0))) for name, label, at in people}
    splits = assign_splits(totals, seed, "shared", sites=sites)  # type: ignore[arg-type]
    for site in sites:
        for label in (0, 1):
            assert {splits[name] for name, counts in site.items() if counts[label]} == {"train", "validation", "test"}


def test_a_class_of_two_people_at_a_site_is_trained_and_tested() -> None:
    """Over both sites there are three positive people, so that chance alone would validate one of the two."""
    sites = [{"p0": (0, 1), "p1": (0, 1), **{f"n{i}": (1, 0) for i in range(6)}}, {"p2": (0, 1), "n6": (1, 0)}]
    totals = {name: counts for site in sites for name, counts in site.items()}
    for seed in range(10):
        splits = assign_splits(totals, seed, "shared", sites=sites)
        assert {splits["p0"], splits["p1"]} == {"train", "test"}


def test_sessions_of_a_person_stay_together_in_the_table(tmp_path: Path) -> None:
    records = [make_record(f"sub-{i:02}", i % 2, session) for i in range(12) for session in ("ses-M00", "ses-M12")]
    counts = count_groups(records)
    assert counts["sub-00"] == (2, 0)
    assert counts["sub-01"] == (0, 2)
    splits = assign_splits(counts, seed=1, scope="A")
    write_splits(tmp_path / "site" / "splits.tsv", records, splits)
    assert read_splits(tmp_path / "site" / "splits.tsv") == splits
    lines = (tmp_path / "site" / "splits.tsv").read_text().splitlines()
    assert lines[0] == "participant_id\tsession_id\tgroup_id\tlabel\tsplit"
    assert lines[2] == f"sub-00\tses-M12\tsub-00\t0\t{splits['sub-00']}"
    assert len(lines) == 25
    assert {path.name for path in (tmp_path / "site").iterdir()} == {"splits.tsv", CHECKSUMS}


def test_a_diagnosis_change_counts_both_labels() -> None:
    stable = make_record("sub-01", 0, "ses-1")
    assert count_groups([stable, dataclasses.replace(stable, label=1, session_id="ses-2")]) == {"sub-01": (1, 1)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found none"),
        ("participant_id\tsplit\n", "found participant_id, split"),
        (
            "participant_id\tsession_id\tgroup_id\tlabel\tsplit\na\tn/a\ta\t1\tdev\n",
            "line 2: expected 5 fields, the last one of train",
        ),
        (
            "participant_id\tsession_id\tgroup_id\tlabel\tsplit\na\ts1\ta\t1\ttest\na\ts2\ta\t1\ttrain\n",
            "line 3: group a is in both test and train",
        ),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "splits.tsv"
    write_sealed_text(path, text)
    with pytest.raises(InputError, match=message):
        read_splits(path)
    with pytest.raises(InputError, match="expected a table of splits"):
        read_splits(tmp_path / "none.tsv")


@pytest.mark.parametrize("seed", range(3))
def test_every_set_has_each_of_three_classes(seed: int) -> None:
    records = [make_record(f"sub-{number}", number % 3) for number in range(21)]
    counts = count_groups(records, classes=3)
    splits = assign_splits(counts, seed, "A")
    sizes = Counter((record.label, splits[record.group_id]) for record in records)
    assert sizes == {(label, split): n for label in range(3) for split, n in zip(SPLITS, split_sizes(7), strict=True)}


def test_of_equally_many_scans_the_later_class_counts() -> None:
    assert count_groups([make_record("sub-1", 0), make_record("sub-1", 2, "ses-2")], 3) == {"sub-1": (1, 0, 1)}
    assert _class_of((1, 0, 1)) == "class 2"
    assert (_class_of((1, 1)), _class_of((2, 1))) == ("positive", "negative")


def test_people_with_numbers_are_split_alike_by_quartile() -> None:
    ages = [50 + 2 * number for number in range(20)]
    records = [dataclasses.replace(make_record(f"sub-{age}", 0), number=float(age)) for age in ages]
    counts = count_by_quantile(records)
    assert [counts[f"sub-{age}"].index(1) for age in (50, 58, 60, 68, 70, 78, 80, 88)] == [0, 0, 1, 1, 2, 2, 3, 3]
    splits = assign_splits(counts, 1, "A", by_number=True)
    quartiles = Counter((counts[group].index(1), split) for group, split in splits.items())
    assert {quartiles[quartile, "validation"] for quartile in range(4)} == {1}
    assert {quartiles[quartile, "train"] for quartile in range(4)} == {2, 3}  # 2.5 of five
    assert Counter(splits.values()) == {"train": 10, "validation": 4, "test": 6}
    assert count_by_quantile([]) == {}


@pytest.mark.parametrize("people", [1, 2, 3, 4, 7, 13, 50])
@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.3), (0.8, 0.1, 0.1), (0.4, 0.4, 0.2), (0.98, 0.01, 0.01)])
def test_few_people_with_numbers_are_split_in_the_proportions_asked_for(
    people: int, fractions: tuple[float, float, float]
) -> None:
    """Quartiles of three people each must not give every set one of each."""
    for ages in ([60.0 + number for number in range(people)], [70.0] * people):
        records = [dataclasses.replace(make_record(f"sub-{n}", 0), number=age) for n, age in enumerate(ages)]
        splits = assign_splits(count_by_quantile(records), 1, "A", fractions, by_number=True)
        counted = Counter(splits.values())
        assert tuple(counted[split] for split in SPLITS) == split_sizes(people, fractions)


def test_sizes_of_strata_stay_near_their_shares() -> None:
    strata, fractions = {"a": 4, "b": 3, "c": 3, "d": 3}, (0.5, 0.2, 0.3)
    sizes = sizes_of_strata(strata, fractions)
    assert {name: sum(of_stratum) for name, of_stratum in sizes.items()} == strata
    for name, of_stratum in sizes.items():
        assert all(abs(size - strata[name] * part) < 1 for size, part in zip(of_stratum, fractions, strict=True))
    assert sizes_of_strata({"a": 50}, (0.98, 0.01, 0.01)) == {"a": (48, 1, 1)}
    assert sizes_of_strata({}, (0.5, 0.2, 0.3)) == {}
