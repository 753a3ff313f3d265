from dataclasses import replace

import numpy as np
import pytest
from outcome_metrics import number_metrics

from fedtune3d.evaluation.estimate import defined
from fedtune3d.report.number_formatting import interval
from fedtune3d.report.number_tables import (
    gap_rows,
    is_never_corrected,
    number_methods,
    number_rows,
    titles,
    why_no_line,
)
from fedtune3d.report.result_warnings import FLAT


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
    assert [row.few for row in rows] == [False, False, True, True, False]
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
    assert is_never_corrected(metrics)
    assert not is_never_corrected(number_metrics())
    rows = gap_rows(metrics)
    assert {row.mean for row in rows} == {"not corrected: slope near 0"}
    assert {(row.deviation, row.after) for row in rows} == {("–", "–")}
    assert rows[3].before.startswith("−")


def test_slope_and_intercept_are_not_shown_where_predictions_hardly_vary() -> None:
    """The correlation over the slope is SD(predicted) / SD(true), here by hand from the shared predictions."""
    metrics = number_metrics()
    for part in metrics.parts.values():
        ratio = np.std(part.points.predicted) / np.std(part.points.truth)
        assert part.measures.pearson.value / part.measures.slope.value == pytest.approx(ratio)
        assert (why_no_line(part.measures) == "") == (ratio >= FLAT)
    steep = defined(-42.53, (-290.21, 205.16), "m", True)
    boston = metrics.sites["Boston"]
    nearly = replace(boston.measures, slope=steep, pearson=defined(-0.535, (-1.0, 1.0), "m", True))
    changed = replace(metrics, sites={**metrics.sites, "Boston": replace(boston, measures=nearly)})
    rows = {row.part: row.measures for row in number_rows(changed, "years")}
    for part in ("Boston", "Mean"):  # a mean with it would be as large
        assert rows[part]["Calibration slope"] == rows[part]["Intercept (years)"]
        assert rows[part]["Calibration slope"] == "not shown: predictions hardly vary"
        assert "not shown" not in rows[part]["Pearson"]
    assert rows["Pooled"]["Calibration slope"] == interval(metrics.pooled.measures.slope)
    wide = replace(boston.measures, slope=defined(1.0, (-9.0, 11.0), "m", True))
    assert why_no_line(wide) == "not shown: too few people"


def test_methods_are_those_of_all_intervals() -> None:
    shared, kept = number_methods(number_metrics()), number_methods(number_metrics(share=False))
    assert "" not in shared
    assert any("jackknife" in method for method in shared)
    assert any("from sums" in method for method in kept)
    assert any("correction taken as given" in method for method in kept)
