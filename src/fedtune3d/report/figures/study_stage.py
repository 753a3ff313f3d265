"""The main measure of test scans per site, of the combinations compared in a stage of a study."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from types import MappingProxyType

from fedtune3d.report.figures.auc_rows import draw_rows
from fedtune3d.report.figures.drawing import BLACK, BLUE, GREY, Drawing, Mark, site_marks
from fedtune3d.report.shown_measure import AUC, ShownMeasure
from fedtune3d.report.study_contents import CROSSED, Row
from fedtune3d.report.study_estimates import StudyEstimate
from fedtune3d.report.study_tables import TITLES, interval_methods, stage_data
from fedtune3d.report.table import AucRow

_OTHERS = {
    "reference": [Mark(GREY, "D"), Mark(GREY, "v")],
    "baseline": [Mark(BLACK, "X"), Mark(BLACK, "P"), Mark(BLACK, "*")],
}


def draw_study_stage(
    stage: str,
    rows: Sequence[Row],
    unit: str = "seed",
    measure: ShownMeasure = AUC,
    people: Mapping[str, str] = MappingProxyType({}),
) -> Drawing:
    """Draw one row per site and one for the mean; references are grey and baselines black.

    All combinations of a crossed study have one row each, with the mean over sites.

    Args:
        stage: The stage.
        rows: Its rows.
        unit: What the trials of a combination are: ``seed`` or ``fold``.
        measure: The main measure of what the models predict.
        people: Site → its test people, shown under its name.
    """
    if stage == CROSSED:
        return _draw_combinations(rows, unit, measure)
    names = [*rows[0].sites, "Mean"]
    lines = [
        AucRow(
            f"{name}\n({people[name]})" if name in people else name,
            "mean" if name == "Mean" else "site",
            None,
            [_over_seeds(row, name).estimate for row in rows],
            [_seeds(_over_seeds(row, name)) for row in rows],
        )
        for name in names
    ]
    title = f"{TITLES[stage]}: test {measure.name} with 95% CI per site, with its test people in brackets"
    return Drawing(
        name=f"{measure.key}_by_{stage.removesuffix('s')}",
        title=title,
        description=f"Test {measure.name} with 95% CIs per site for {', '.join(row.label for row in rows)}; the table "
        f"has the same numbers. Intervals: {'; '.join(interval_methods(rows))}.",
        figure=draw_rows(lines, {row.label: mark for row, mark in zip(rows, _marks(rows), strict=True)}, unit, measure),
        rows=stage_data(list(rows), unit, measure),
    )


def _draw_combinations(rows: Sequence[Row], unit: str, measure: ShownMeasure) -> Drawing:
    lines = [AucRow(row.label, "site", None, [row.mean.estimate], [_seeds(row.mean)]) for row in rows]
    title = f"{TITLES[CROSSED]}: test {measure.name}, mean over sites"
    return Drawing(
        name=f"{measure.key}_by_trial",
        title=title,
        description=f"Mean test {measure.name} over sites with its 95% CI, one row per combination; the table has the "
        f"same numbers. Intervals: {'; '.join(interval_methods(rows))}.",
        figure=draw_rows(lines, {"Mean over sites": Mark(BLUE, "o")}, unit, measure),
        rows=stage_data(list(rows), unit, measure),
    )


def _over_seeds(row: Row, name: str) -> StudyEstimate:
    return row.mean if name == "Mean" else row.sites[name]


def _seeds(estimate: StudyEstimate) -> list[float]:
    return list(estimate.values.values()) if len(estimate.values) > 1 else []


def _marks(rows: Sequence[Row]) -> list[Mark]:
    """Return the mark of each row: variants by colour, references grey and baselines black.

    The random control of an encoder has its colour, and a cross.
    """
    own = site_marks([row.key for row in rows if row.kind == "variant"])
    others = {kind: cycle(marks) for kind, marks in _OTHERS.items()}
    controls = {
        row.key: Mark(own[row.control_of].colour, "x")
        for row in rows
        if row.control_of is not None and row.control_of in own
    }
    return [own.get(row.key) or controls.get(row.key) or next(others[row.kind]) for row in rows]
