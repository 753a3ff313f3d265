from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from outcome_metrics import class_metrics, number_metrics

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.metrics import TestMetrics, read_metrics
from fedtune3d.report import sample_sizes


@pytest.fixture
def boston(make_run: Callable[..., Path]) -> TestMetrics:
    return read_metrics(RunFolder(make_run()).metrics).federated.sites["Boston"]


def test_positives_come_first(boston: TestMetrics) -> None:
    assert sample_sizes.people_by_class(boston) == "18 + 22"
    several = replace(boston, scans=50, positives=20)
    assert sample_sizes.scans_by_class(several) == "20 + 30"
    assert not sample_sizes.scans_differ([boston])  # with one scan each, one column says both
    assert sample_sizes.scans_differ([boston, several])


def test_what_is_held_back_is_no_zero(boston: TestMetrics) -> None:
    nobody = replace(boston, participants_by_class=(0, 0), scans=0, positives=0)
    assert sample_sizes.people_by_class(nobody) == sample_sizes.scans_by_class(nobody) == "–"
    assert sample_sizes.people_over_seeds([nobody]) == "–"


def test_seeds_that_differ_are_a_range(boston: TestMetrics) -> None:
    other = replace(boston, participants_by_class=(22, 15))
    assert sample_sizes.people_over_seeds([boston, boston]) == "18 + 22"
    assert sample_sizes.people_over_seeds([boston, other]) == "15–18 + 22"


@pytest.mark.parametrize(("share", "text"), [(0.05, "5%"), (0.5, "50%"), (11 / 25, "44%"), (33 / 81, "40.7%")])
def test_prevalences(share: float, text: str) -> None:
    assert sample_sizes.percentage(share) == text


def test_people_of_other_outcomes_are_counted_by_class_or_together() -> None:
    classes, numbers = class_metrics(), number_metrics()
    site = next(iter(classes.sites.values()))
    expected = " + ".join(str(part.people) for part in site.of_class)
    assert sample_sizes.people_over_seeds([site, site]) == expected
    counts = [sum(test.participants for test in numbers.sites.values())]
    assert sample_sizes.total_over_seeds([numbers.sites]) == str(counts[0])
    assert sample_sizes.total_over_seeds([]) == "–"
