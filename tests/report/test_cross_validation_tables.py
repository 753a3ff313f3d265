"""The tables of a cross-validation."""

import io
from dataclasses import replace

from cross_validation_results import results_of, results_of_numbers
from rich.console import Console

from fedtune3d.report.cross_validation_tables import (
    answer,
    calibration_rows,
    cross_validation_tables,
    design,
    fold_data,
    fold_rows,
    residual_rows,
    rows_of,
    spread,
)


def test_rows_are_the_sites_and_their_mean() -> None:
    results = results_of(3, 2)
    assert [row.name for row in rows_of(results, "auc")] == ["A", "B", "Mean"]
    assert rows_of(results, "auc")[-1].by_method["local"] == results.methods["local"].mean
    assert len(fold_rows(results, "auc")) == 2 * 6
    first = fold_rows(results, "auc")[0]
    assert first.values["Mean"] == (first.values["A"] + first.values["B"]) / 2  # type: ignore[operator]
    assert [(row.name, row.method) for row in calibration_rows(results)] == [
        ("A", "federated"),
        ("A", "local"),
        ("Pooled", "federated"),
        ("Pooled", "local"),
    ]


def test_sites_are_in_the_order_of_the_experiment_in_every_table() -> None:
    results = results_of(3, 2)
    calibration = results.methods["federated"].calibration
    both = {"A": calibration["A"], "B": calibration["A"], "Pooled": calibration["Pooled"]}
    methods = {name: replace(method, calibration=both) for name, method in results.methods.items()}
    turned = replace(results, sites=("B", "A"), methods=methods)
    assert list(dict.fromkeys(row.name for row in calibration_rows(turned))) == ["B", "A", "Pooled"]
    assert [row.name for row in rows_of(turned, "auc")] == ["B", "A", "Mean"]
    assert list(fold_rows(turned, "auc")[0].values) == ["B", "A", "Mean"]
    assert [line["site"] for line in fold_data(turned)][:3] == ["B", "A", "Mean"]


def test_the_design_and_the_spread_in_words() -> None:
    assert design(results_of(5, 1)) == "5 folds"
    assert design(results_of(5, 2)) == "5 folds, 2 repeats"
    mean = results_of(5, 2).methods["federated"].mean
    assert spread(mean) == f"{mean.sd_folds:.2f} over folds, {mean.sd_repeats:.2f} over repeats"
    assert spread(replace(mean, sd_folds=None, sd_repeats=None)) == "–"


def test_the_terminal_shows_estimates_and_spread() -> None:
    results, console = results_of(3, 1), Console(width=100, record=True, file=io.StringIO())
    console.print(*cross_validation_tables(results))
    text = console.export_text()
    mean = results.methods["federated"].mean
    assert f"{mean.estimate.value:.2f} [{mean.estimate.low:.2f}, {mean.estimate.high:.2f}]" in text
    assert "over folds" in text
    assert answer(results).startswith(f"Cross-validated AUC, mean over 2 sites: {mean.estimate.value:.2f} (95% CI ")
    assert answer(replace(results, methods={})) == "No fold of 3 is finished yet."


def test_numbers_have_a_table_for_errors_and_one_for_what_is_explained() -> None:
    results, console = results_of_numbers(3, 2), Console(width=120, record=True, file=io.StringIO())
    console.print(*cross_validation_tables(results))
    text = " ".join(console.export_text().split())
    assert "MAE (years) [95% CI], mean within folds (3 folds, 2 repeats)" in text
    assert "R² [95% CI]" in text
    mean = results.methods["federated"].mean.estimate
    assert answer(results).startswith(
        "Cross-validated mean absolute error, mean over 2 sites: "
        f"{mean.value:.2f} years (95% CI {mean.low:.2f}–{mean.high:.2f}); 3 folds, 2 repeats"
    )
    data = fold_data(results)
    assert len(data) == 6 * 3
    assert list(data[0]) == ["method", "repeat", "fold", "site", "mae", "r_squared"]
    assert (data[1]["site"], data[1]["r_squared"]) == ("B", None)
    assert [(row.people, row.truth, row.error) for row in residual_rows(results)] == [
        (5, "54.0", "+2.00 ± 1.41"),
        (7, "72.0", "−1.00 ± 2.00"),
    ]
    assert calibration_rows(results) == []
