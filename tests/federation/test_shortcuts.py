"""Whether age or the site alone tells the class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats.contingency import association

from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.federation.shortcuts import cramers_v, find_shortcuts, site_auc
from fedtune3d.federation.site.audit import age_auc, people_by_split
from fedtune3d.federation.tasks.describe_people import PeopleDescription


def describe(
    records: Sequence[ScanRecord], splits: Mapping[tuple[str, str], str], fewest: int = 5
) -> PeopleDescription:
    return PeopleDescription(splits=people_by_split(records, splits, fewest), age_auc=age_auc(records, fewest, 1))


def person(number: int, label: int, age: float | None) -> ScanRecord:
    name = f"sub-{number:02d}"
    return ScanRecord("A", name, "", Path(name), label, name, False, age, "F", "AD" if label else "CN")


def test_age_that_tells_the_label_is_a_warning() -> None:
    def told(gap: float) -> list[str]:
        records = [person(number, number % 2, 60 + number % 13 + gap * (number % 2)) for number in range(60)]
        splits = {(one.participant_id, ""): "train" for one in records}
        return find_shortcuts({"A": describe(records, splits)})

    assert told(0) == []
    [text] = told(9)
    assert text.startswith("A: age alone predicts the label, AUC 0.9")


def test_ages_that_nobody_knows_are_said_in_words() -> None:
    people = [person(number, number % 2, None) for number in range(6)]
    assert age_auc(people, 1, 1).undefined == "no age is known in one of the classes"


def of_classes(negatives: int, positives: int, fewest: int = 5) -> PeopleDescription:
    """People whose age says nothing of their class."""
    people = [person(number, int(number >= negatives), 65 + number % 7) for number in range(negatives + positives)]
    return describe(people, {}, fewest)


def test_a_site_that_tells_the_label_is_a_warning() -> None:
    def told(*counts: tuple[int, int]) -> list[str]:
        sites = {site: of_classes(*classes) for site, classes in zip("ABC", counts, strict=False)}
        return find_shortcuts(sites)

    assert told((20, 20), (30, 25)) == []
    [text] = told((10, 40), (40, 10))
    assert text == ("the site alone predicts the label, AUC 0.80 [0.70, 0.87], Cramér's V 0.59; positive: A 80%, B 20%")


def test_a_site_whose_counts_are_held_back_is_not_passed_over_in_silence() -> None:
    """A has four positive people, B four negative ones: neither count leaves a site that holds back under five."""
    held_back = {"A": of_classes(38, 4), "B": of_classes(4, 38), "C": of_classes(20, 20)}
    by_age, by_site = find_shortcuts(held_back)
    assert by_age == (
        "age alone was not tested as a predictor of the label at A and B: the age of fewer than 5 people of a class "
        "is known"
    )
    assert by_site == (
        "the site alone was not tested as a predictor of the label at A and B: the counts per class are held back "
        "there (policy.min_people, policy.min_per_class)"
    )
    shown = {site: of_classes(*classes, fewest=1) for site, classes in (("A", (38, 4)), ("B", (4, 38)))}
    [text] = find_shortcuts(shown)
    assert text.startswith("the site alone predicts the label, AUC 0.90")


def test_the_auc_and_v_of_the_site() -> None:
    counts = [(10, 40), (40, 10)]
    assert site_auc(counts)[0] == pytest.approx(0.8 * 0.8 + 0.5 * (2 * 0.8 * 0.2))
    plain = association(np.array(counts), method="cramer")
    assert cramers_v(counts) == pytest.approx(np.sqrt((plain**2 - 1 / 99) / (1 - 1 / 99)))
    assert site_auc([(10, 0), (5, 0)]) == (0.5, 0.0, 1.0)
    assert cramers_v([(10, 0), (5, 0)]) == 0.0


def test_of_three_classes_the_site_is_looked_at_for_each() -> None:
    def of_three(*counts: int) -> PeopleDescription:
        labels = [label for label, count in enumerate(counts) for _ in range(count)]
        people = [person(number, label, 70) for number, label in enumerate(labels)]
        return PeopleDescription(splits=people_by_split(people, {}, 5, classes=3))

    classes = ("CN", "MCI", "AD")
    assert find_shortcuts({"A": of_three(20, 20, 20), "B": of_three(30, 28, 32)}, classes) == []
    texts = find_shortcuts({"A": of_three(40, 20, 0), "B": of_three(0, 20, 40)}, classes)
    assert [text.partition("; ")[2] for text in texts] == ["CN: A 67%, B 0%", "AD: A 0%, B 67%"]
    (hidden,) = find_shortcuts({"A": of_three(20, 20, 3), "B": of_three(20, 20, 20)}, classes)
    assert hidden.startswith("the site alone was not tested as a predictor of the label at A")
    assert find_shortcuts({"A": of_three(20, 20, 3)}, ("everyone",)) == []
