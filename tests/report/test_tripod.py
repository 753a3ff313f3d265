"""The checklist of a run: all items, what a program may claim, and what it leaves to the authors."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from html_tables import table_of, tables_in
from run_editing import change_config, change_metrics

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.recalibration import PlattScaling, Recalibrated
from fedtune3d.report import write_report
from fedtune3d.report.methods import experiment_of, finished
from fedtune3d.report.run_contents import read_run
from fedtune3d.report.tripod import TripodRow, tripod_rows
from fedtune3d.report.tripod_items import ITEMS
from fedtune3d.report.tripod_methods import METHODS_ANSWERS
from fedtune3d.report.tripod_results import RESULTS_ANSWERS

FOR_THE_AUTHORS = {"2", "3a", "3b", "3c", "5b", "6c", "8b", "8c", "18a", "18b", "18c", "18d", "19", "25", "27c"}


def rows_at(folder: Path) -> dict[str, TripodRow]:
    contents = read_run(folder)
    run, experiment = finished(contents), experiment_of(contents)
    assert run is not None
    assert experiment is not None
    return {row.item.number: row for row in tripod_rows(run, experiment)}


def test_there_are_27_items_with_52_parts() -> None:
    numbers = [item.number for item in ITEMS]
    assert len(numbers) == len(set(numbers)) == 52
    assert list(dict.fromkeys(int(number.rstrip("abcdefg")) for number in numbers)) == list(range(1, 28))


def test_each_answer_belongs_to_an_item_and_no_item_has_two() -> None:
    assert METHODS_ANSWERS.keys() | RESULTS_ANSWERS.keys() <= {item.number for item in ITEMS}
    assert not METHODS_ANSWERS.keys() & RESULTS_ANSWERS.keys()


def test_what_a_program_cannot_know_is_left_to_the_authors(small_run: RunFolder) -> None:
    rows = rows_at(small_run.path)
    assert {number for number, row in rows.items() if row.answer.status == "for the authors"} - {
        "17"
    } == FOR_THE_AUTHORS
    assert all(bool(row.answer.text) == (row.answer.status != "for the authors") for row in rows.values())
    partly = [row.answer for row in rows.values() if row.answer.status == "partly filled"]
    assert all("for the authors" in answer.text for answer in partly)
    filled = [row.answer for row in rows.values() if row.answer.status == "filled"]
    assert not any("for the authors" in answer.text for answer in filled)


def test_numbers_are_those_of_the_run(small_run: RunFolder) -> None:
    rows = rows_at(small_run.path)
    flow = json.loads(small_run.flow.read_text())
    people = {
        split: {
            name: sum(flow[site]["splits"][split]["classes"][label]["participants"] for site in "AB")
            for label, name in enumerate(("negative", "positive"))
        }
        for split in ("all", "train", "validation", "test")
    }
    assert "{positive} AD and {negative} CN participants".format(**people["all"]) in rows["20a"].answer.text
    assert "evaluation: {positive} AD and {negative} CN participants".format(**people["test"]) in (
        rows["21"].answer.text
    )
    mean = json.loads(small_run.metrics.read_text())["methods"]["federated"]["mean_auc"]
    assert f"{mean['value']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}]" in rows["23a"].answer.text
    assert "fewer than five sites" in rows["23b"].answer.text
    assert rows["24"].answer.text.startswith("Not applicable")


def test_simulated_scans_and_random_weights_are_named(make_run: Callable[..., Path]) -> None:
    rows = rows_at(make_run())
    assert rows["5a"].answer.text.startswith("Simulated scans")
    assert "4 sites (simulated)" in rows["6a"].answer.text
    assert "random weights" in rows["12c"].answer.text
    assert "simulated and the encoder's weights are random" in rows["26"].answer.text


@pytest.mark.parametrize(
    ("changes", "number", "expected"),
    [
        ({"training": {"rounds": 10, "class_weighted": False}}, "13", "No method was used."),
        ({"on_bad_scan": "stop"}, "7", "A faulty scan would have stopped the run."),
        ({"on_bad_scan": "skip"}, "7", "Faulty scans were excluded."),
        ({"aggregation": {"rule": "qfedavg"}}, "14", "q-FedAvg gives sites with a greater loss more weight"),
        ({"aggregation": {"rule": "fedavg"}}, "14", "training had no fairness constraint"),
    ],
)
def test_answers_follow_the_configuration(
    make_run: Callable[..., Path], changes: dict, number: str, expected: str
) -> None:
    folder = make_run()
    change_config(folder, lambda config: config.update(changes))
    assert expected in rows_at(folder)[number].answer.text


def test_a_recalibrated_run_reports_it(recalibrated_run: Path) -> None:
    metrics = json.loads(RunFolder(recalibrated_run).metrics.read_text())["methods"]["federated"]
    line, after = (metrics["recalibrated"]["Pooled"][key] for key in ("scaling", "calibration"))
    text = rows_at(recalibrated_run)["24"].answer.text
    assert f"{line['slope']:.3g} · logit + {line['intercept']:.3g}" in text
    assert f"after {after['brier']['value']:.2f} [" in text
    assert "Platt" in rows_at(recalibrated_run)["12f"].answer.text


@pytest.fixture
def recalibrated_run(make_run: Callable[..., Path], tmp_path: Path) -> Path:
    """The drawn run with a scaling."""
    folder = Path(shutil.copytree(make_run(), tmp_path / "recalibrated"))

    def scale(metrics: RunMetrics) -> RunMetrics:
        federated = metrics.federated
        assert federated.pooled is not None
        scaled = {"Pooled": Recalibrated(PlattScaling(0.8, 0.1, (36, 32)), federated.pooled.calibration)}
        return replace(metrics, methods={**metrics.methods, "federated": replace(federated, recalibrated=scaled)})

    change_metrics(folder, scale)
    return folder


@pytest.mark.usefixtures("_unrendered")
def test_page_and_file_have_the_same_rows(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    table = table_of(tables_in(write_report(folder)), "TRIPOD+AI checklist of this run")
    rows = rows_at(folder)
    assert table == [
        [number, row.item.topic, row.item.asks, row.answer.status, " ".join(row.answer.text.replace("`", "").split())]
        for number, row in rows.items()
    ]
    lines = RunFolder(folder).tripod.read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[4:]] == list(rows)
    assert "BMJ 2024;385:e078378" in lines[0]
