"""Weight of each site's update in each round, one panel per rule."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from fedtune3d.report.figures.drawing import GREY, Drawing, new_figure, site_marks
from fedtune3d.report.figures.learning_curves import draw_site_lines, style_rounds
from fedtune3d.report.figures.weights_per_round import WeightRow, weight_rows
from fedtune3d.report.study_contents import Row, StudyContents

_COLUMNS = 2


def draw_study_weights(contents: StudyContents) -> Drawing | None:
    """Draw the weights of the first seed (the data have every seed); None if no rule gives weights."""
    rules = [row for row in contents.stages.get("rules", []) if row.method == "federated"]
    data = [entry for rule in rules for entry in _data(contents, rule)]
    shown = [rule for rule in rules if any(entry.rule == rule.title for entry in data)]
    if not any(entry.row.weight is not None for entry in data):
        return None
    lines = math.ceil(len(shown) / _COLUMNS)
    figure = new_figure(8.4, 0.7 + 2.3 * lines)
    grid = figure.subplots(lines, min(_COLUMNS, len(shown)), sharey=True, squeeze=False)
    top = max(entry.row.weight or 0 for entry in data)
    for axes, rule in zip(grid.flat, shown, strict=False):
        _panel(axes, contents.sites, rule.title, [entry for entry in data if entry.rule == rule.title])
        axes.set_ylim(0, top * 1.1)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel("Weight", fontsize=9)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False, fontsize=8)
    return Drawing(
        name="weights_by_rule",
        title=f"Weight of each site in each round, for each rule (seed {contents.label(contents.numbers[0])})",
        description="One panel per aggregation rule: the weight of each site's update over the rounds.",
        figure=figure,
        rows=[{"rule": entry.rule, "seed": contents.label(entry.seed), **entry.row._asdict()} for entry in data],
    )


class _Entry(NamedTuple):
    rule: str
    seed: int
    row: WeightRow


def _data(contents: StudyContents, rule: Row) -> list[_Entry]:
    return [
        _Entry(rule.title, seed, entry)
        for seed, run in contents.finished(rule.trials).items()
        for entry in weight_rows(run.ledger, contents.sites)
    ]


def _panel(axes: Axes, sites: Sequence[str], title: str, data: Sequence[_Entry]) -> None:
    first = [entry for entry in data if entry.seed == data[0].seed]

    def points(name: str) -> tuple[list[int], list[float]]:
        weights = [(entry.row.round, entry.row.weight) for entry in first if entry.row.site == name]
        return [round_ for round_, _ in weights], [math.nan if weight is None else weight for _, weight in weights]

    draw_site_lines(axes, site_marks(sites), points)
    style_rounds(axes, title, "Round")
    if all(entry.row.weight is None for entry in first):
        axes.set_xticks([])  # those of y are shared
        axes.text(0.5, 0.5, "the rule gives no weights", transform=axes.transAxes, ha="center", color=GREY, fontsize=9)
