from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from fedtune3d._utils.folders import RunFolder
from fedtune3d.config.class_names import UNNAMED, ClassNames
from fedtune3d.evaluation.metrics import RunMetrics, read_metrics
from fedtune3d.report import auc_table
from fedtune3d.report.table import auc_rows


def printed(metrics: RunMetrics, width: int, names: ClassNames = UNNAMED) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(auc_table(metrics, names))
    return console.export_text()


def test_every_number_is_in_the_terminal_table(make_run: Callable[..., Path]) -> None:
    metrics = read_metrics(RunFolder(make_run()).metrics)
    text = printed(metrics, 140)
    for method in metrics.methods.values():
        for site in ("Amsterdam", "Boston", "Graz"):
            auc = method.sites[site].auc
            assert f"{auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}]" in text
    assert "Fewer than 10 people in a class: Graz" in text
    lagos = next(line for line in text.splitlines() if "Lagos" in line)
    assert lagos.count("not defined: one class only") == 3
    pooled = next(line for line in text.splitlines() if "Pooled" in line)
    assert "81 (33)" in pooled
    assert "–" in pooled  # nothing is pooled over local models


def test_every_number_of_a_run_is_in_the_terminal_table(small_run: RunFolder) -> None:
    metrics = read_metrics(small_run.metrics)
    lines = printed(metrics, 140).splitlines()
    for site in "AB":
        row = next(line for line in lines if site in line.split()[:2])
        for method in metrics.methods.values():
            assert "{:.2f} [{:.2f}, {:.2f}]".format(*(method.sites[site].auc.limits or ())) in row


def test_an_interval_stays_on_one_line_in_a_narrow_terminal(make_run: Callable[..., Path]) -> None:
    metrics = read_metrics(RunFolder(make_run()).metrics)
    text = printed(metrics, 80)
    assert all(len(line) <= 80 for line in text.splitlines())
    auc = metrics.methods["centralized"].sites["Boston"].auc
    assert f"{auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}]" in text


def test_positive_scans_have_the_same_head_whatever_their_class_is_called(
    make_run: Callable[..., Path],
) -> None:
    metrics = read_metrics(RunFolder(make_run()).metrics)
    named = printed(metrics, 80, ClassNames("AD", "CN"))
    assert "(pos.)" in named
    assert "pos.: scans of AD." in named
    assert "pos.: scans of class 1." in printed(metrics, 80, ClassNames("class 1", "class 0"))
    long = printed(metrics, 80, ClassNames("progressive MCI", "stable MCI"))
    assert "(pos.)" in long
    assert "pos.: scans of progressive MCI." in long


def test_a_run_without_baselines_has_one_column(make_run: Callable[..., Path]) -> None:
    metrics = read_metrics(RunFolder(make_run()).metrics)
    metrics = replace(metrics, methods={"federated": metrics.federated})
    assert [len(row.estimates) for row in auc_rows(metrics)] == [1] * 6
    assert "Local" not in printed(metrics, 100)
