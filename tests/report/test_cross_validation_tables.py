"""The tables of a cross-validation."""

import io
from dataclasses import replace

from cross_validation_results import results_of
from rich.console import Console

from fedtune3d.report.cross_validation_tables import (
    answer,
    calibration_rows,
    cross_validation_table,
    design,
    fold_rows,
    rows_of,
    spread,
)


def test_rows_are_the_sites_and_their_mean() -> None:
    results = results_of(3, 2)
    assert [row.name for row in rows_of(results)] == ["A", "B", "Mean"]
    assert rows_of(results)[-1].by_method["local"] == results.methods["local"].mean
    assert len(fold_rows(results)) == 2 * 6
    first = fold_rows(results)[0]
    assert first.aucs["Mean"] == (first.aucs["A"] + first.aucs["B"]) / 2  # type: ignore[operator]
    assert [(row.name, row.method) for row in calibration_rows(results)][:2] == [
        ("A", "federated"),
        ("Pooled", "federated"),
    ]


def test_the_design_and_the_spread_in_words() -> None:
    assert design(results_of(5, 1)) == "5 folds"
    assert design(results_of(5, 2)) == "5 folds, 2 repeats"
    mean = results_of(5, 2).methods["federated"].mean
    assert spread(mean) == f"{mean.sd_folds:.2f} over folds, {mean.sd_repeats:.2f} over repeats"
    assert spread(replace(mean, sd_folds=None, sd_repeats=None)) == "–"


def test_the_terminal_shows_estimates_and_spread() -> None:
    results, console = results_of(3, 1), Console(width=100, record=True, file=io.StringIO())
    console.print(cross_validation_table(results))
    text = console.export_text()
    mean = results.methods["federated"].mean
    assert f"{mean.estimate.value:.2f} [{mean.estimate.low:.2f}, {mean.estimate.high:.2f}]" in text
    assert "over folds" in text
    assert answer(results).startswith(f"Cross-validated AUC, mean over 2 sites: {mean.estimate.value:.2f} [")
    assert answer(replace(results, methods={})) == "No fold of 3 is finished yet."
