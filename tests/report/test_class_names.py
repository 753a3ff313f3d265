"""The classes of a run have the names that its labels give them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedtune3d.report.class_names import class_names
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def with_labels(contents: RunContents, positive: Any, negative: Any) -> RunContents:
    labels = {"positive": positive, "negative": negative}
    return replace(contents, config=contents.config | {"labels": labels})


@pytest.mark.parametrize(
    ("positive", "negative", "versus"),
    [
        (["AD"], ["CN"], "AD vs CN"),
        (["AD", "MCI"], ["CN"], "AD/MCI vs CN"),
        ("group == AD", "group == CN", "AD vs CN"),
        ("diagnosis == AD and age >= 55", "diagnosis == 'CN'", "AD vs CN"),
        ("cdr >= 1", "cdr == 0", "cdr >= 1 vs cdr == 0"),
        ("group == 1", "group == 0", "group == 1 vs group == 0"),
        (["a diagnosis with a long name"], ["CN"], "positive vs negative"),
        ("dx == AD", "other == AD", "positive vs negative"),
    ],
)
def test_names_follow_from_the_labels(contents: RunContents, positive: Any, negative: Any, versus: str) -> None:
    assert class_names(with_labels(contents, positive, negative)).versus == versus


def test_a_short_name_is_defined_once(contents: RunContents) -> None:
    names = class_names(with_labels(contents, "diagnosis == AD and age >= 55", ["CN"]))
    assert names.definition == "AD: diagnosis == AD and age >= 55."
    assert names.meaning.startswith("Positive means AD, negative CN: sensitivity is the proportion of AD scans")
    assert names.meaning.endswith(names.definition)
    assert class_names(with_labels(contents, ["AD"], ["CN"])).definition == ""


def test_sites_with_labels_of_their_own_are_named(contents: RunContents) -> None:
    own = {"positive": ["1"], "negative": ["0"]}
    sites = [section | ({"labels": own} if section["name"] == "Graz" else {}) for section in contents.config["sites"]]
    names = class_names(replace(contents, config=contents.config | {"sites": sites}))
    assert names.both == "AD + CN"
    assert "Graz" in names.definition
    alone = class_names(replace(contents, config={"sites": [sites[2]]}))
    assert (alone.positive, alone.negative) == ("1", "0")


def test_named_classes_keep_their_names(contents: RunContents) -> None:
    labels = [{"stable": ["sMCI"]}, {"progressive": ["pMCI"]}]
    assert class_names(replace(contents, config=contents.config | {"labels": labels})).both == "progressive + stable"


def test_without_labels_the_classes_are_positive_and_negative(contents: RunContents) -> None:
    names = class_names(replace(contents, config={"sites": [{"name": "A"}]}))
    assert (names.versus, names.meaning) == ("positive vs negative", "")
