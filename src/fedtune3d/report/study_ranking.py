"""The one ranked table of a study: every combination and baseline, best validation score first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d.evaluation.against_baselines import AnyComparison
from fedtune3d.report.budget import labelled
from fedtune3d.report.number_formatting import size
from fedtune3d.report.sample_sizes import total_over_seeds
from fedtune3d.report.shown_measure import ShownMeasure
from fedtune3d.report.study_comparison import compare
from fedtune3d.report.study_contents import Row, StudyContents, with_differences

WIDTH = 150
"""Width of the drawing of seeds, in pixels."""
_MARGIN = 6


@dataclass(frozen=True)
class SeedDots:
    """The main measure of every seed as dots on the confidence interval; places are in pixels from the left.

    Attributes:
        dots: Place of each seed.
        low: Place of the interval's lower end; None if there is no interval.
        high: Place of its upper end.
        reference: Place of the measure's reference, such as an AUC of 0.5; None if it has none.
        text: The same in words.
    """

    dots: Sequence[float]
    low: float | None
    high: float | None
    reference: float | None
    text: str


@dataclass(frozen=True)
class RankedRow:
    """A combination or baseline in the ranked table.

    Attributes:
        row: Its estimates and costs.
        title: Encoder (if it is an axis), head, tuning and rule, with what of its budget differs.
        people: People of each class in the test sets.
        dots: Every seed.
        minus_selected: The measure minus that of the selected one on the same people; None for the selected one, and
            where the predictions of both are not known here.
        traffic: All traffic of a run.
    """

    row: Row
    title: str
    people: str
    dots: SeedDots
    minus_selected: AnyComparison | None
    traffic: str


def ranked_rows(contents: StudyContents) -> list[RankedRow]:
    """Return each combination and baseline once, by validation score; those without one come last."""
    unique: dict[str, Row] = {}
    for of_stage in contents.stages.values():
        for row in of_stage:
            unique.setdefault(row.key, row)
    rows = with_differences(list(unique.values()))
    sign = -1 if contents.measure.is_error else 1
    rows.sort(key=lambda row: -math.inf if row.validation is None else sign * row.validation, reverse=True)
    bounds = [bound for row in rows for bound in _bounds(row)]
    ends = (0.0, max(bounds, default=1.0)) if contents.measure.is_error else (min([0.5, *bounds]), 1.0)
    return [_ranked(contents, row, ends) for row in rows]


def runner_up(contents: StudyContents, rows: Sequence[RankedRow]) -> RankedRow | None:
    """Return the combination with the best validation score after the selected one; None if there is no other."""
    selected = contents.answer
    others = (ranked for ranked in rows if selected is not None and ranked.row.key != selected.key)
    return next((ranked for ranked in others if ranked.row.kind == "variant"), None)


def _ranked(contents: StudyContents, row: Row, ends: tuple[float, float]) -> RankedRow:
    selected = contents.answer
    others = selected is not None and row.key != selected.key
    runs = contents.finished(row.trials).values()
    return RankedRow(
        row=row,
        title=labelled(row.full_title, row.differs),
        people=total_over_seeds(run.metrics.evaluated["federated"].sites for run in runs if run.metrics),
        dots=_dots(row, ends, contents.measure),
        minus_selected=compare(contents, row, selected, contents.numbers) if selected is not None and others else None,
        traffic="–" if row.cost is None else size(row.cost.total_bytes),
    )


def _bounds(row: Row) -> list[float]:
    limits = row.mean.estimate.limits
    return [*row.mean.values.values(), *(limits[1:] if limits else ())]


def _dots(row: Row, ends: tuple[float, float], measure: ShownMeasure) -> SeedDots:
    lowest, highest = ends

    def place(value: float) -> float:
        return round(_MARGIN + (WIDTH - 2 * _MARGIN) * (value - lowest) / (highest - lowest), 1)

    limits = row.mean.estimate.limits
    values = row.mean.values
    return SeedDots(
        dots=[place(value) for value in values.values()],
        low=place(limits[1]) if limits else None,
        high=place(limits[2]) if limits else None,
        reference=None if measure.reference is None else place(measure.reference),
        text="; ".join(f"seed {seed}: {value:.3f}" for seed, value in values.items()) or "no result yet",
    )
