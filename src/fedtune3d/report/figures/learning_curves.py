"""Validation AUC, or loss where there is no AUC, and training loss over the rounds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedtune3d.evaluation.outcome import BINARY, NumberOutcome, Outcome
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.report.figures.drawing import BLACK, GREY, Drawing, Mark, new_figure, row_wise, site_marks
from fedtune3d.report.shown_measure import validation_measure

MANY_SITES = 12
"""With more sites than this, the lines of sites are drawn grey and unnamed, with the mean on top."""


def draw_learning_curves(
    ledger: Sequence[LedgerLine], sites: Sequence[str], best_round: int | None, outcome: Outcome = BINARY
) -> Drawing | None:
    """Draw the validation AUC after each round and the training loss in it; None before the first round.

    A run that predicts a number has no AUC: the error by which its rounds are compared is drawn instead.
    """
    rows = _rows(ledger, sites)
    if not rows:
        return None
    figure = new_figure(9.2, 3.0)
    left, right = figure.subplots(1, 2)
    marks = site_marks(sites)
    by_auc = any(row.validation_auc is not None for row in rows)
    validated = validation_measure(outcome, by_auc)
    measure = validated.head

    def of_validation(row: _CurveRow) -> float | None:
        value = row.validation_auc if by_auc else row.validation_loss
        return None if value is None else value * validated.factor

    _curves(left, rows, marks, of_validation)
    _curves(right, rows, marks, lambda row: row.training_loss)
    _finish(left, f"Validation {measure}", "Round of the global model", best_round)
    _finish(right, "Training loss", "Round", None)
    name_lines(figure, left)
    on_scale = ", of the number on the scale from −1 to 1 of its range" if isinstance(outcome, NumberOutcome) else ""
    return Drawing(
        name="learning_curves",
        title=f"Learning curves: validation {measure} of the global model per site and their mean (left), training "
        "loss per site (right)",
        description=f"Left: validation {measure} of the global model per site and its mean, over the rounds. "
        f"Right: training loss per site in each round{on_scale}.",
        figure=figure,
        rows=[asdict(row) for row in rows],
    )


@dataclass(frozen=True)
class _CurveRow:
    """A round of a site, or of the mean over sites; the fields are the columns of the figure's data."""

    round: int
    site: str
    validation_auc: float | None
    validation_loss: float | None
    training_loss: float | None


def _rows(ledger: Sequence[LedgerLine], sites: Sequence[str]) -> list[_CurveRow]:
    """Return one row per round and site (and 'mean'): AUC and loss of the state after the round, and loss during it."""
    aucs: dict[tuple[int, str], float | None] = {}
    validation: dict[tuple[int, str], float | None] = {}
    losses: dict[tuple[int, str], float | None] = {}
    for line in ledger:
        state_round = line.validation.state_round
        aucs[state_round, "mean"] = line.validation.mean_auc
        validation[state_round, "mean"] = line.validation.pooled_loss
        for site, entry in line.sites.items():
            aucs[state_round, site] = entry.received.auc if entry.received else None
            validation[state_round, site] = entry.received.loss if entry.received else None
            if line.trains:
                losses[line.round, site] = entry.loss
    rounds = sorted({key[0] for key in (*aucs, *losses)})
    return [
        _CurveRow(
            round=round_,
            site=site,
            validation_auc=aucs.get((round_, site)),
            validation_loss=validation.get((round_, site)),
            training_loss=losses.get((round_, site)),
        )
        for round_ in rounds
        for site in (*sites, "mean")
        if (round_, site) in aucs or (round_, site) in losses
    ]


def _curves(
    axes: Axes, rows: Sequence[_CurveRow], marks: Mapping[str, Mark], value: Callable[[_CurveRow], float | None]
) -> None:
    def points(name: str) -> tuple[list[int], list[float]]:
        # NaN breaks the line where there is no number.
        values = [(row.round, value(row)) for row in rows if row.site == name]
        return [round_ for round_, _ in values], [math.nan if number is None else number for _, number in values]

    draw_site_lines(axes, marks, points)
    rounds, means = points("mean")
    if not all(math.isnan(mean) for mean in means):
        axes.plot(rounds, means, color=BLACK, linewidth=2.4, label="mean over sites", zorder=4)


def draw_site_lines(
    axes: Axes, marks: Mapping[str, Mark], points: Callable[[str], tuple[list[int], list[float]]]
) -> None:
    """Draw one line per site, named in the legend unless there are many sites."""
    many = len(marks) > MANY_SITES
    for index, (site, mark) in enumerate(marks.items()):
        if many:
            axes.plot(*points(site), color=GREY, linewidth=0.6, label="each site" if index == 0 else None)
        else:
            axes.plot(
                *points(site),
                color=mark.colour,
                marker=mark.marker,
                linestyle=mark.line,
                markersize=3.8,
                linewidth=1.3,
                label=site,
            )


def name_lines(figure: Figure, axes: Axes) -> None:
    """Add a legend below a figure with what is drawn in its axes, up to six entries a row."""
    handles, labels = axes.get_legend_handles_labels()
    columns = min(6, len(labels))
    figure.legend(
        row_wise(handles, columns),
        row_wise(labels, columns),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8,
    )


def style_rounds(axes: Axes, title: str, x_label: str) -> None:
    """Style axes over rounds: integer ticks on x, light grid, title on the left."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x_label, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _finish(axes: Axes, title: str, x_label: str, best_round: int | None) -> None:
    style_rounds(axes, title, x_label)
    axes.set_ylabel(title, fontsize=9)
    axes.margins(y=0.08)
    if best_round is not None:
        axes.axvline(best_round, color=GREY, linewidth=1.0, linestyle=(0, (2, 2)), label=f"evaluated ({best_round})")
