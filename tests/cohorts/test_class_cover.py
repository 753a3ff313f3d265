from collections import Counter

import numpy as np
import pytest

from fedtune3d.cohorts.class_cover import ClassCover

ORDER = ("train", "test", "validation")


def positive(*groups: str) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(groups, (0, 1))


@pytest.mark.parametrize(
    ("splits", "lack"),
    [
        ({"a": "train", "b": "test", "c": "validation"}, 0),
        ({"a": "train", "b": "test", "c": "test"}, 1),
        ({"a": "train", "b": "validation", "c": "train"}, 2),
        ({"a": "validation", "b": "validation", "c": "validation"}, 6),
    ],
)
def test_train_outweighs_test_and_test_validation(splits: dict[str, str], lack: int) -> None:
    """The weights are 4, 2 and 1."""
    assert ClassCover([positive("a", "b", "c")], ORDER).lack(splits) == lack


def test_two_groups_cannot_be_in_three_splits() -> None:
    cover = ClassCover([positive("a", "b")], ORDER)
    assert cover.lack({"a": "train", "b": "test"}) == 0
    assert cover.lack({"a": "train", "b": "validation"}) == 1


def test_an_exchange_goes_before_a_move() -> None:
    """Site 1 tests nobody; d, e and f are of site 2 only. After one exchange both have all, with the same sizes."""
    splits = {"a": "train", "b": "train", "c": "validation", "d": "test", "e": "train", "f": "test", "g": "validation"}
    sites = [positive("a", "b", "c"), positive("d", "e", "f", "g")]
    cover = ClassCover(sites, ORDER)
    assert cover.lack(splits) == 2
    mended = cover.mend(splits, dict.fromkeys(splits, "positive"), np.random.default_rng(0))
    assert cover.lack(mended) == 0
    assert Counter(mended.values()) == Counter(splits.values())


def test_a_group_is_moved_where_no_exchange_helps() -> None:
    splits = {"a": "train", "b": "train", "c": "test"}
    mended = ClassCover([positive(*splits)], ORDER).mend(splits, dict.fromkeys(splits, "x"), np.random.default_rng(0))
    assert sorted(mended.values()) == ["test", "train", "validation"]
    assert mended["c"] == "test"


def test_a_split_that_is_not_wanted_is_not_missed() -> None:
    assert ClassCover([positive("a", "b", "c")], ("train", "test")).lack(dict(zip("abc", ORDER, strict=True))) == 0
