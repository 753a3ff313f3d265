"""The classes of a run have the names that its labels give them."""

from typing import Any

import pytest

from fedtune3d.config.class_names import class_title, names_of, of_class, recorded_names
from fedtune3d.config.experiment import Experiment


def with_labels(positive: Any, negative: Any) -> dict[str, Any]:
    return {"sites": [{"name": "A"}, {"name": "B"}], "labels": {"positive": positive, "negative": negative}}


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
def test_names_follow_from_the_labels(positive: Any, negative: Any, versus: str) -> None:
    config = with_labels(positive, negative)
    assert recorded_names(config).versus == versus
    experiment = Experiment.model_validate(config | {"name": "x"})
    assert names_of(experiment) == recorded_names(experiment.public())
    assert names_of(experiment).versus == versus


def test_a_short_name_is_defined_once() -> None:
    names = recorded_names(with_labels("diagnosis == AD and age >= 55", ["CN"]))
    assert names.definition == "AD: diagnosis == AD and age >= 55."
    assert names.meaning.startswith("Positive means AD, negative CN: sensitivity is the proportion of AD scans")
    assert names.meaning.endswith(names.definition)
    assert recorded_names(with_labels(["AD"], ["CN"])).definition == ""


def test_sites_with_labels_of_their_own_are_named() -> None:
    own = {"name": "Graz", "labels": {"positive": ["1"], "negative": ["0"]}}
    names = recorded_names(with_labels(["AD"], ["CN"]) | {"sites": [{"name": "A"}, own]})
    assert names.both == "AD + CN"
    assert "Graz" in names.definition
    alone = recorded_names({"sites": [own]})
    assert alone.both == "class 1 + class 0"


def test_named_classes_keep_their_names() -> None:
    labels = [{"stable": ["sMCI"]}, {"progressive": ["pMCI"]}]
    assert recorded_names({"sites": [{"name": "A"}], "labels": labels}).both == "progressive + stable"


def test_without_labels_the_classes_are_positive_and_negative() -> None:
    names = recorded_names({"sites": [{"name": "A"}]})
    assert (names.versus, names.meaning) == ("positive vs negative", "")


def test_a_class_whose_name_is_a_number_is_not_read_as_a_count() -> None:
    assert recorded_names(with_labels(["1"], ["0"])).versus == "class 1 vs class 0"
    three = [{"0": ["CN"]}, {"1": ["MCI"]}, {"2": ["AD"]}]
    assert recorded_names({"sites": [{"name": "A"}], "labels": three}).in_order == ("class 0", "class 1", "class 2")
    assert [class_title(name) for name in ("0.5", "-1", "2b", "class 1")] == ["class 0.5", "class -1", "2b", "class 1"]
    counted = [of_class(12, "AD"), of_class("4/8", "1"), of_class("4/8", "class 1"), of_class(3, "cdr >= 1")]
    assert counted == ["12 AD", "4/8 of class 1", "4/8 of class 1", "3 with cdr >= 1"]
