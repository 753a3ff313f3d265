from dataclasses import replace
from pathlib import Path

from fedtune3d.report.figures.study_stage import draw_study_stage
from fedtune3d.report.study_contents import read_study


def test_the_figure_draws_each_variant_at_each_site(finished_study: Path) -> None:
    rows = read_study(finished_study).stages["heads"]
    drawing = draw_study_stage("heads", rows)
    assert len(drawing.rows) == 3 * 5
    points = [line.get_xdata()[0] for line in drawing.figure.axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert sorted(points) == sorted(row["auc"] for row in drawing.rows if row["auc"] is not None)


def test_a_random_control_has_the_colour_of_its_encoder_and_many_references_have_marks(finished_study: Path) -> None:
    first, *_ = read_study(finished_study).stages["heads"]
    control = replace(first, key="control", title="control", kind="reference", control_of=first.key)
    others = [replace(first, key=name, title=name, kind="reference") for name in ("ncc", "resnet18", "another")]
    drawing = draw_study_stage("encoders", [first, control, *others])
    assert drawing.name == "auc_by_encoder"
    handles = {handle.get_label(): handle for handle in drawing.figure.legends[0].legend_handles}
    own, crossed = handles[first.title], handles["control"]
    assert own.get_color() == crossed.get_color() != handles["another"].get_color()
    assert own.get_marker() != crossed.get_marker()
    lines = [line for line in drawing.figure.axes[0].get_lines() if len(line.get_xdata()) == 2]
    assert {line.get_linestyle() for line in lines[:-2]} == {"-"}  # intervals; then chance and the rule below the sites
