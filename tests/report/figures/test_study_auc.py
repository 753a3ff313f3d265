from pathlib import Path

from fedtune3d.report.figures.study_auc import draw_study_auc
from fedtune3d.report.study_contents import read_study


def test_the_figure_draws_each_variant_at_each_site(finished_study: Path) -> None:
    rows = read_study(finished_study).stages["heads"]
    drawing = draw_study_auc("heads", rows)
    assert len(drawing.rows) == 3 * 5
    points = [line.get_xdata()[0] for line in drawing.figure.axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert sorted(points) == sorted(row["auc"] for row in drawing.rows if row["auc"] is not None)
