"""The figure of a cross-validation: the mean with its interval, and each fold."""

from dataclasses import replace

from cross_validation_results import results_of

from fedtune3d.report.figures.fold_aucs import draw_fold_aucs


def test_every_fold_is_a_dot_on_its_row() -> None:
    results = results_of(3, 2)
    drawing = draw_fold_aucs(results)
    assert drawing is not None
    (axes,) = drawing.figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "."]
    drawn = sorted(tuple(line.get_xdata()) for line in dots)
    expected = sorted(
        tuple(auc.values) for method in results.methods.values() for auc in (*method.sites.values(), method.mean)
    )
    assert drawn == expected
    assert "each fold" in [text.get_text() for text in drawing.figure.legends[0].get_texts()]


def test_without_a_fold_there_is_no_figure() -> None:
    assert draw_fold_aucs(replace(results_of(3, 1), methods={})) is None
