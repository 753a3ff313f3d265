import pytest

from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.subgroups import by_group, gap_of, group_rows, leaving_groups, require_possible_axis


@pytest.mark.parametrize(
    ("people", "leaving"),
    [
        ({"F": (9, 8), "M": (6, 5)}, ["F", "M"]),
        ({"F": (9, 8), "M": (6, 4)}, []),  # else M would follow from the total
        ({"F": (9, 8), "M": (4, 3), "X": (3, 3)}, ["F"]),  # 7 and 6 together are enough
        ({"F": (9,), "M": (6,), "unknown": (2,)}, ["F"]),
        ({}, []),
    ],
)
def test_small_groups_are_suppressed_and_so_is_what_would_tell_them(
    people: dict[str, tuple[int, ...]], leaving: list[str]
) -> None:
    assert leaving_groups(people, 5) == leaving


def test_rows_of_groups_and_what_sites_sent_of_them() -> None:
    assert group_rows(["M", "F", "M"]) == {"F": [1], "M": [0, 2]}
    assert group_rows(["unknown", "unknown"]) == {}
    assert by_group([{"M": 1, "F": 2}, {"M": 3}]) == {"F": [2], "M": [1, 3]}


def test_a_gap_has_limits_by_mover() -> None:
    gap = gap_of(defined(0.8, (0.7, 0.85), "m", few=True), defined(0.6, (0.5, 0.7), "m", few=False))
    assert gap.limits == pytest.approx((0.2, 0.2 - (0.1**2 + 0.1**2) ** 0.5, 0.2 + (0.05**2 + 0.1**2) ** 0.5))
    assert gap.mark == "few"
    assert gap_of(undefined("one class"), gap).undefined == "one class"


def test_axes_that_there_are_not() -> None:
    require_possible_axis("sex", 2, 1)
    for axis, groups, held_back in (("name", 1, 0), ("sex", 101, 0), ("sex", 1, -1)):
        with pytest.raises(ValueError, match="groups: expected up to 100 along sex, age, scanner"):
            require_possible_axis(axis, groups, held_back)
