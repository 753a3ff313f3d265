"""What Matplotlib was given to draw."""

from matplotlib.axes import Axes


def line_of(axes: Axes, label: str) -> tuple[list, list]:
    """x and y of the line with a label."""
    line = next(line for line in axes.get_lines() if line.get_label() == label)
    return list(line.get_xdata()), list(line.get_ydata())
