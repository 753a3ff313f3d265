from pathlib import Path

import pytest
from rich.console import Console

from fedtune3d.evaluation.metrics import RunMetrics, read_metrics
from fedtune3d.report.against import MEAN, against_rows, against_table


@pytest.fixture(name="metrics")
def _metrics(finished_run: Path) -> RunMetrics:
    return read_metrics(finished_run / "metrics.json")


def test_rows_are_sites_then_their_mean(metrics: RunMetrics) -> None:
    rows = against_rows(metrics)
    for title in ("Local", "Centralized"):
        places = [row.place for row in rows if row.baseline == title]
        assert places == ["Amsterdam", "Boston", "Graz", "Lagos", MEAN]
    assert [row.people for row in (rows[0], rows[4])] == ["11 + 14", "3 sites"]


def test_the_terminal_shows_the_means(metrics: RunMetrics, capsys: pytest.CaptureFixture[str]) -> None:
    table = against_table(metrics)
    assert table is not None
    Console(width=100).print(table)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith(("Local", "Centralized"))]
    assert len(lines) == 2
    assert all("[" in line for line in lines)
