from outcome_metrics import number_metrics
from rich.console import Console

from fedtune3d.report.number_formatting import interval
from fedtune3d.report.number_tables import gap_rows, number_methods, number_rows, number_table, titles


def test_measures_per_site_with_their_unit() -> None:
    metrics = number_metrics()
    rows = number_rows(metrics, "years")
    assert [row.part for row in rows] == ["Amsterdam", "Boston", "Graz", "Mean", "Pooled"]
    assert (rows[0].people, rows[0].scans, rows[3].truth) == ("24", "24", "")
    assert (
        rows[0].truth
        == f"{metrics.sites['Amsterdam'].truth_mean:.1f} ± {metrics.sites['Amsterdam'].truth_deviation:.1f}"
    )
    assert rows[4].measures["MAE (years)"] == interval(metrics.pooled.measures.mae)
    assert rows[2].measures["R²"].endswith(" few")
    assert titles("")["mae"] == "MAE"
    assert len(number_rows(number_metrics(shared_model=False), "years")) == 4


def test_the_corrected_gap_has_its_trend_before_and_after() -> None:
    metrics = number_metrics()
    rows = gap_rows(metrics)
    assert [row.part for row in rows] == ["Amsterdam", "Boston", "Graz", "Pooled"]
    assert rows[3].mean == interval(metrics.pooled.gap.mean)
    assert rows[3].before.startswith("−")


def test_a_gap_is_not_corrected_by_a_line_that_is_flat() -> None:
    metrics = number_metrics(slope=0.0)
    assert metrics.corrections["Boston"].is_flat
    rows = gap_rows(metrics)
    assert {row.mean for row in rows} == {"not corrected: slope near 0"}
    assert {(row.deviation, row.after) for row in rows} == {("–", "–")}
    assert rows[3].before.startswith("−")


def test_the_terminal_shows_error_bias_and_slope() -> None:
    console = Console(width=160, record=True)
    console.print(number_table(number_metrics(), "years"))
    text = console.export_text()
    assert all(title in text for title in ("MAE (years)", "Bias (years)", "R²", "Calibration slope", "Pooled"))
    assert interval(number_metrics().mean.mae) in text


def test_methods_are_those_of_all_intervals() -> None:
    shared, kept = number_methods(number_metrics()), number_methods(number_metrics(share=False))
    assert "" not in shared
    assert any("jackknife" in method for method in shared)
    assert any("from sums" in method for method in kept)
    assert any("correction taken as given" in method for method in kept)
