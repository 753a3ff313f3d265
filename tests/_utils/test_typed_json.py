"""Typed values as JSON: exact both ways, and nothing but what was written is read."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.typed_json import from_json, read_typed, to_json, write_typed


@dataclass(frozen=True)
class Point:
    place: tuple[int, int]
    value: float | None


@dataclass(frozen=True)
class Curve:
    name: str
    points: tuple[Point, ...]
    by_site: dict[str, Point]


CURVE = Curve("roc", (Point((0, 1), 0.1 + 0.2), Point((2, 3), None)), {"A": Point((4, 5), 1e-300)})


def test_a_value_comes_back_to_the_bit(tmp_path: Path) -> None:
    write_typed(tmp_path / "curve.json", CURVE)
    assert read_typed(Curve, tmp_path / "curve.json", "") == CURVE


def test_json_holds_plain_values() -> None:
    assert to_json(CURVE) == {
        "name": "roc",
        "points": [{"place": [0, 1], "value": 0.1 + 0.2}, {"place": [2, 3], "value": None}],
        "by_site": {"A": {"place": [4, 5], "value": 1e-300}},
    }


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": 3}, "name"),
        ({"more": 3}, "more"),
        ({"points": [{"place": [0, 1]}]}, "points.0.value"),
        ({"points": [{"place": [0, 1.5], "value": 0.1}]}, "points.0.place.1"),
        ({"by_site": {"A": {"place": [0, 1], "value": "0.1"}}}, "by_site.A.value"),
    ],
)
def test_what_was_not_written_so_is_refused(change: dict[str, object], named: str) -> None:
    value = to_json(CURVE)
    assert isinstance(value, dict)
    with pytest.raises(ValueError, match=rf"^{named}: "):
        from_json(Curve, value | change)


def test_not_a_number_is_refused_both_ways(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_typed(tmp_path / "curve.json", replace(CURVE, points=(Point((0, 1), float("nan")),)))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="finite"):
        from_json(Point, json.loads('{"place": [0, 1], "value": NaN}'))


def test_a_damaged_or_missing_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    with pytest.raises(InputError, match=r"curve\.json: cannot be read .*; run it again$"):
        read_typed(Curve, path, "run it again")
    for text in ("", "{", "[]", '{"name": "roc"}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"curve\.json: .*damaged.*; run it again$") as caught:
            read_typed(Curve, path, "run it again")
        assert "\n" not in str(caught.value)
