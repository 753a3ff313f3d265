from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from outcome_metrics import CLASSES, class_metrics

from fedtune3d._utils.folders import RunFolder
from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.confusion import Confusion
from fedtune3d.evaluation.metrics import RunMetrics, read_metrics
from fedtune3d.report.undetected import undetected_classes

NAMES = ClassNames("AD", "CN")


@pytest.fixture
def metrics(make_run: Callable[..., Path]) -> RunMetrics:
    return read_metrics(RunFolder(make_run()).metrics)


def with_counts(metrics: RunMetrics, confusion: Confusion | None) -> RunMetrics:
    pooled = metrics.federated.pooled
    assert pooled is not None
    federated = replace(metrics.federated, pooled=replace(pooled, confusion=confusion))
    return replace(metrics, methods=metrics.methods | {"federated": federated})


def test_a_class_that_is_never_recognised_is_named_with_the_rate(metrics: RunMetrics) -> None:
    no_positive = with_counts(metrics, Confusion(0, 33, 48, 0))
    assert undetected_classes(no_positive, NAMES) == [
        "No AD scan was recognised (sensitivity 0.00): all 33 test scans of AD were classified as CN."
    ]
    [text] = undetected_classes(with_counts(metrics, Confusion(5, 28, 0, 1)), NAMES)
    assert text == "No CN scan was recognised (specificity 0.00): the only test scan of CN was classified as AD."


def test_one_recognised_scan_an_empty_class_and_no_threshold_are_no_warning(metrics: RunMetrics) -> None:
    assert undetected_classes(with_counts(metrics, Confusion(1, 32, 48, 0)), NAMES) == []
    assert undetected_classes(with_counts(metrics, Confusion(0, 0, 48, 0)), NAMES) == []
    assert undetected_classes(with_counts(metrics, None), NAMES) == []


def test_of_several_classes_each_is_looked_at(metrics: RunMetrics) -> None:
    found = class_metrics()
    assert found.pooled is not None
    (first, *others), totals = found.pooled.confusion.cells, found.pooled.confusion.totals
    confusion = replace(found.pooled.confusion, cells=((0, totals[0], 0), *others))
    several = replace(
        metrics,
        methods={},
        class_methods={"federated": replace(found, pooled=replace(found.pooled, confusion=confusion))},
    )
    names = ClassNames(several=CLASSES)
    assert first[0]
    assert undetected_classes(several, names) == [
        f"No {CLASSES[0]} scan was recognised (sensitivity 0.00, 0/{totals[0]} test scans)."
    ]
