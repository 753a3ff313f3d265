"""Weight of each site's update in each round."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.report.figures.drawing import BLACK, Drawing, new_figure, site_marks
from fedtune3d.report.figures.learning_curves import draw_site_lines, name_lines, style_rounds


def draw_weights(ledger: Sequence[LedgerLine], sites: Sequence[str], rule: str) -> Drawing | None:
    """Draw the weight of each site over the rounds, a cross if it was left out; None if the rule gives no weights."""
    rows = weight_rows(ledger, sites)
    if all(row.weight is None for row in rows):
        return None
    figure = new_figure(7.2, 3.6)
    axes = figure.add_subplot()

    def points(name: str) -> tuple[list[int], list[float]]:
        # NaN interrupts the line where a site has no weight.
        weights = [(row.round, row.weight) for row in rows if row.site == name]
        return [round_ for round_, _ in weights], [math.nan if weight is None else weight for _, weight in weights]

    marks = site_marks(sites)
    draw_site_lines(axes, marks, points)
    absent = [row for row in rows if not row.participated]
    if absent:
        colours = [marks[row.site].colour for row in absent]
        axes.scatter([row.round for row in absent], [0.0] * len(absent), marker="x", c=colours, s=26, clip_on=False)
        axes.scatter([], [], marker="x", c=BLACK, s=26, label="not in the round")
    style_rounds(axes, f"Weight of each site in the average ({rule})", "Round")
    axes.set_ylabel("Weight", fontsize=9)
    axes.set_ylim(0, None)
    name_lines(figure, axes)
    return Drawing(
        name="weights_per_round",
        title="Aggregation weight per site and round",
        description=f"The weight that {rule} gave to each site's update in each round.",
        figure=figure,
        rows=[row._asdict() for row in rows],
    )


def constant_weights(ledger: Sequence[LedgerLine], sites: Sequence[str]) -> dict[str, float] | None:
    """Return the weight of each site if it is the same in every round and no site missed one, else None."""
    rows = weight_rows(ledger, sites)
    by_site = {site: {row.weight for row in rows if row.site == site} for site in sites}
    weights = {site: weight for site, values in by_site.items() for weight in values if weight is not None}
    if any(len(values) != 1 for values in by_site.values()) or len(weights) < len(by_site):
        return None
    return weights


def weights_sentence(ledger: Sequence[LedgerLine], sites: Sequence[str], rule: str) -> str:
    """Say what weights a rule gave where they need no figure; empty where they do, or before the first round."""
    if not any(line.trains for line in ledger):
        return ""
    if (weights := constant_weights(ledger, sites)) is not None:
        listed = ", ".join(f"{site} {weight:.2f}" for site, weight in weights.items())
        return f"Each site's weight in the average ({rule}) was the same in every round: {listed}."
    if all(row.weight is None for row in weight_rows(ledger, sites)):
        return f"{rule} gives no weights."
    return ""


class WeightRow(NamedTuple):
    """A site in a training round: its weight in the average (None if it has none), and why it was left out."""

    round: int
    site: str
    weight: float | None
    examples: int | None
    participated: bool
    fault: str | None


def weight_rows(ledger: Sequence[LedgerLine], sites: Sequence[str]) -> list[WeightRow]:
    """Return one row per training round and site."""
    return [
        WeightRow(line.round, site, entry.weight, entry.examples, entry.participated, entry.fault)
        for line in ledger
        if line.trains
        for site in sites
        if (entry := line.sites.get(site)) is not None
    ]
