"""Warnings of classes that a model never predicts, although the test set has scans of them."""

from collections.abc import Iterator

from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.confusion import Confusion
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.multiclass.confusion_matrix import ConfusionMatrix


def undetected_classes(metrics: RunMetrics, names: ClassNames) -> list[str]:
    """Return one sentence per class of which the federated model recognises no test scan, over all sites."""
    if (two := metrics.methods.get("federated")) is not None:
        return list(_of_two(two.pooled.confusion, names)) if two.pooled is not None else []
    if (classes := metrics.class_methods.get("federated")) is not None and classes.pooled is not None:
        return list(_of_several(classes.pooled.confusion, names))
    return []


def _of_two(confusion: Confusion | None, names: ClassNames) -> Iterator[str]:
    if confusion is None:
        return
    positive, negative = names.positive, names.negative
    parts = (
        (confusion.sensitivity, "sensitivity", positive, negative),
        (confusion.specificity, "specificity", negative, positive),
    )
    for found, measure, name, other in parts:
        if found.total and not found.count:
            yield f"No {name} scan was recognised ({measure} 0.00): {_all(found.total, name)} classified as {other}."


def _of_several(confusion: ConfusionMatrix, names: ClassNames) -> Iterator[str]:
    for label, name in enumerate(names.in_order):
        found = confusion.recognised(label)
        if found is not None and found.total and not found.count:
            yield f"No {name} scan was recognised (sensitivity 0.00, {found} test scans)."


def _all(scans: int, name: str) -> str:
    return f"the only test scan of {name} was" if scans == 1 else f"all {scans} test scans of {name} were"
