"""The axes of ROC curves."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedtune3d.evaluation.roc import RocCurve
from fedtune3d.evaluation.sample import FROM_COUNTS
from fedtune3d.report.figures.drawing import GREY


def finish_roc_axes(figure: Figure, axes: Axes, x_label: str, y_label: str) -> None:
    """Add the diagonal of chance, labels and a legend below to a figure's axes whose curves are drawn."""
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set_aspect("equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=8)


def grid_mark(curve: RocCurve) -> str:
    """Return what the legend says of a curve through the points of a grid; empty for an exact one."""
    return ", on a grid" if curve.source == FROM_COUNTS else ""


def are_exact(curves: Iterable[RocCurve]) -> bool:
    """Return whether the points of all curves are exact."""
    return all(curve.source != FROM_COUNTS for curve in curves)
