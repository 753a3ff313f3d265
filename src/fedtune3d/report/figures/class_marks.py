"""The marks of several classes, the same in every figure."""

from collections.abc import Sequence

from fedtune3d.report.figures.drawing import BLACK, Mark, site_marks

MACRO = "Mean of the classes"


def class_marks(classes: Sequence[str]) -> dict[str, Mark]:
    """Return the mark of each class, and of their mean."""
    return site_marks(classes) | {MACRO: Mark(BLACK, "o")}
