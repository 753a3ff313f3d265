"""The figure of a cross-validation: the mean with its interval, and each fold."""

from dataclasses import replace

from cross_validation_results import results_of, results_of_numbers

from fedtune3d.report.figures.fold_values import draw_errors_out_of_fold, draw_fold_values


def test_every_fold_is_a_dot_on_its_row() -> None:
    results = results_of(3, 2)
    drawing = draw_fold_values(results, "auc")
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
    assert draw_fold_values(replace(results_of(3, 1), methods={}), "auc") is None


def test_errors_have_an_axis_of_their_own_in_the_unit() -> None:
    results = results_of_numbers(3, 2)
    drawing = draw_fold_values(results, "mae")
    assert drawing is not None
    (axes,) = drawing.figure.axes
    assert drawing.name == "fold_errors"
    assert axes.get_xlabel() == "Test MAE (years), 95% CI"
    low, high = axes.get_xlim()
    mean = results.methods["federated"].mean.estimate
    assert low == 0
    assert mean.high is not None
    assert high > max(mean.high, *results.methods["federated"].mean.values)
    explained = draw_fold_values(results, "r_squared")
    assert explained is not None
    assert explained.figure.axes[0].get_xlabel() == "Test R², 95% CI (dashed: the mean of the true numbers)"


def test_errors_out_of_fold_are_drawn_by_range_of_the_true_number() -> None:
    drawing = draw_errors_out_of_fold(results_of_numbers(3, 1))
    assert drawing is not None
    assert [row["mean_error"] for row in drawing.rows] == [2.0, -1.0]
    assert drawing.figure.axes[0].get_xlabel() == "True age (years)"
    assert draw_errors_out_of_fold(results_of(3, 1)) is None
