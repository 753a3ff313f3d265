"""The one ranked table of a study: every combination and baseline, best validation AUC first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d.evaluation.paired import Comparison
from fedtune3d.report.budget import labelled
from fedtune3d.report.number_formatting import size
from fedtune3d.report.sample_sizes import total_over_seeds
from fedtune3d.report.study_contents import Row, StudyContents, with_differences
from fedtune3d.report.study_tables import compare

WIDTH = 150
"""Width of the drawing of seeds, in pixels."""
_MARGIN = 6


@dataclass(frozen=True)
class SeedDots:
    """The test AUC of every seed as dots on the confidence interval; places are in pixels from the left.

    Attributes:
        dots: Place of each seed.
        low: Place of the interval's lower end; None if there is no interval.
        high: Place of its upper end.
        chance: Place of an AUC of 0.5.
        text: The same in words.
    """

    dots: Sequence[float]
    low: float | None
    high: float | None
    chance: float
    text: str


@dataclass(frozen=True)
class RankedRow:
    """A combination or baseline in the ranked table.

    Attributes:
        row: Its estimates and costs.
        title: Encoder (if it is an axis), head, tuning and rule, with what of its budget differs.
        people: People of each class in the test sets.
        dots: Every seed.
        minus_selected: Test AUC minus that of the selected one on the same people; None for the selected one, and where
            the predictions of both are not known here.
        traffic: All traffic of a run.
    """

    row: Row
    title: str
    people: str
    dots: SeedDots
    minus_selected: Comparison | None
    traffic: str


def ranked_rows(contents: StudyContents) -> list[RankedRow]:
    """Return each combination and baseline once, by validation AUC; those without one come last."""
    unique: dict[str, Row] = {}
    for of_stage in contents.stages.values():
        for row in of_stage:
            unique.setdefault(row.key, row)
    rows = with_differences(list(unique.values()))
    rows.sort(key=lambda row: -math.inf if row.validation is None else row.validation, reverse=True)
    lowest = min([0.5, *(bound for row in rows for bound in _bounds(row))])
    return [_ranked(contents, row, lowest) for row in rows]


def runner_up(contents: StudyContents, rows: Sequence[RankedRow]) -> RankedRow | None:
    """Return the combination with the best validation AUC after the selected one; None if there is no other."""
    selected = contents.answer
    others = (ranked for ranked in rows if selected is not None and ranked.row.key != selected.key)
    return next((ranked for ranked in others if ranked.row.kind == "variant"), None)


def _ranked(contents: StudyContents, row: Row, lowest: float) -> RankedRow:
    selected = contents.answer
    others = selected is not None and row.key != selected.key
    sites = [run.metrics.federated.sites for run in contents.finished(row.trials).values() if run.metrics]
    return RankedRow(
        row=row,
        title=labelled(row.full_title, row.differs),
        people=total_over_seeds(sites),
        dots=_dots(row, lowest),
        minus_selected=compare(contents, row, selected, contents.numbers) if selected is not None and others else None,
        traffic="–" if row.cost is None else size(row.cost.total_bytes),
    )


def _bounds(row: Row) -> list[float]:
    limits = row.mean.estimate.limits
    return [*row.mean.values.values(), *(limits[1:2] if limits else ())]


def _dots(row: Row, lowest: float) -> SeedDots:
    def place(auc: float) -> float:
        return round(_MARGIN + (WIDTH - 2 * _MARGIN) * (auc - lowest) / (1 - lowest), 1)

    limits = row.mean.estimate.limits
    values = row.mean.values
    return SeedDots(
        dots=[place(auc) for auc in values.values()],
        low=place(limits[1]) if limits else None,
        high=place(limits[2]) if limits else None,
        chance=place(0.5),
        text="; ".join(f"seed {seed}: {auc:.3f}" for seed, auc in values.items()) or "no result yet",
    )
