"""A small study from end to end: what it leaves, what it chooses by, and that a killed one goes on."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from waiting import wait_while_running

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d.config.study import Study
from fedtune3d.evaluation.outcome import BINARY
from fedtune3d.workflows.run_folder import read_metrics
from fedtune3d.workflows.study import run_study, validation_score

pytestmark = pytest.mark.slow  # a process for each cell

GRID = {
    "heads": ["linear", "conv_s"],
    "references": ["ncc"],
    "rules": ["fedavg", "median"],
    "baselines": ["local", "centralized"],
}


def write_study(small_experiment: Any, output: Path, **changes: object) -> Path:
    values = {key: value for key, value in small_experiment.values.items() if key != "seed"}
    values["sites"] = [site | {"policy": {"min_per_class": 1}} for site in values["sites"]]
    path = output.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(values | {"output": str(output)} | GRID | changes))
    return path


def start(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fedtune3d", "benchmark", str(path), "--no-plan"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finished_cells(output: Path) -> dict[str, tuple[int, int]]:
    """When each finished cell's ledger and metrics were last written."""
    return {
        path.parent.name: (path.stat().st_mtime_ns, (path.parent / "rounds.jsonl").stat().st_mtime_ns)
        for path in (output / "trials").glob("*/metrics.json")
    }


@pytest.fixture(scope="module")
def killed_and_resumed(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A study that was killed when its second cell had begun and then run again; and the cells finished at the kill."""
    output = tmp_path_factory.mktemp("benchmark") / "study"
    path = write_study(small_experiment, output)
    process = start(path)
    second = output / "trials" / "conv_s-frozen-fedavg-seed0"
    wait_while_running(process, (second / "environment.json").exists, "the second trial to begin")
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished_cells(output)
    process = start(path)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    text = " ".join(printed.decode().split())
    assert "rules: 1 trial to run, baselines (local, centralized) to add to 1 finished trial" in text
    assert re.search(r"test AUC \S+ \(with baselines: local, centralized\)", text)
    assert re.search(r"best head by validation: \w+ \(validation AUC [01]\.\d\d\)", text)
    return output, before


def test_a_killed_study_goes_on_without_doing_a_finished_cell_again(killed_and_resumed: tuple[Path, dict]) -> None:
    output, before = killed_and_resumed
    assert "linear-frozen-fedavg-seed0" in before
    chosen = json.loads((output / "study.json").read_text())["chosen"]
    extended = f"{chosen['head']}-frozen-fedavg-seed0"  # it got the baselines
    after = finished_cells(output)
    for name, times in before.items():
        if name == extended:
            ledger = (output / "trials" / name / "rounds.jsonl").read_text().splitlines()
            assert len(ledger) == 3
        else:
            assert after[name] == times, name


def test_a_second_call_does_nothing_again(killed_and_resumed: tuple[Path, dict], small_experiment: Any) -> None:
    output, _ = killed_and_resumed
    before, told = finished_cells(output), []
    run_study(Study.from_yaml(output.with_suffix(".yaml")), on_message=told.append)
    assert finished_cells(output) == before
    assert [line.split(":")[0] for line in told] == [
        f"best {part} by validation" for part in ("head", "tuning", "rule")
    ]


def test_the_best_is_chosen_by_validation_alone(killed_and_resumed: tuple[Path, dict]) -> None:
    output, _ = killed_and_resumed
    results = json.loads((output / "study.json").read_text())
    scores = {}
    for name in ("linear", "conv_s"):
        ledger = output / "trials" / f"{name}-frozen-fedavg-seed0" / "rounds.jsonl"
        lines = [json.loads(line) for line in ledger.read_text().splitlines()]
        scores[name] = max(line["validation"]["mean_auc"] for line in lines[1:])
        assert scores[name] == validation_score(RunFolder(ledger.parent), BINARY)
    assert results["chosen"]["head"] == max(scores, key=lambda name: scores[name])
    by_name = {entry["name"]: entry["validation"] for entry in results["stages"]["heads"]}
    assert by_name["linear-frozen-fedavg"] == scores["linear"]


def test_the_baselines_stand_beside_the_base_rule(killed_and_resumed: tuple[Path, dict]) -> None:
    output, _ = killed_and_resumed
    head = json.loads((output / "study.json").read_text())["chosen"]["head"]
    metrics = read_metrics(RunFolder(output / "trials" / f"{head}-frozen-fedavg-seed0"))
    assert set(metrics.methods) == {"federated", "local", "centralized"}
    assert set(read_metrics(RunFolder(output / "trials" / f"{head}-frozen-median-seed0")).methods) == {"federated"}


def test_a_failed_trial_is_shown_and_the_others_go_on(small_experiment: Any, tmp_path: Path) -> None:
    weights = {"method": "lora", "blocks": [99], "label": "broken"}  # only the model can tell that there is no block 99
    path = write_study(
        small_experiment,
        tmp_path / "study",
        heads=["linear"],
        references=[],
        tunings=["frozen", weights],
        rules=[],
        baselines=[],
    )
    process = start(path)
    printed, _ = process.communicate()
    text = " ".join(printed.decode().split())
    assert process.returncode == 1, text
    assert "heads: 1 trial to run linear-frozen-fedavg-seed0: validation AUC " in text
    assert "tunings: 1 trial to run" in text
    assert "failed: linear-broken-fedavg-seed0: lora.blocks: expected block numbers" in text
    results = json.loads((tmp_path / "study" / "study.json").read_text())
    assert list(results["faults"]) == ["linear-broken-fedavg-seed0"]
    assert results["chosen"]["rule"] == "fedavg"
    page = (tmp_path / "study" / "report.html").read_text()
    assert "1 trial failed" in page
    assert "expected block numbers" in page


def test_a_changed_study_is_refused_before_anything_runs(
    killed_and_resumed: tuple[Path, dict], small_experiment: Any
) -> None:
    output, _ = killed_and_resumed
    values = yaml.safe_load(output.with_suffix(".yaml").read_text())
    changed = output.parent / "changed.yaml"
    changed.write_text(yaml.safe_dump(values | {"training": {"rounds": 3}}))
    with pytest.raises(InputError, match=r"another configuration \(training\.batch_size: 4 before, 8 now"):
        run_study(Study.from_yaml(changed))


@pytest.mark.slow
def test_a_crossed_study_keeps_every_trial(small_experiment: Any, tmp_path: Path) -> None:
    path = write_study(small_experiment, tmp_path / "study", design="crossed", references=[], baselines=["local"])
    run_study(Study.from_yaml(path))
    results = json.loads((tmp_path / "study" / "study.json").read_text())
    names = {f"{head}-frozen-{rule}" for head in ("linear", "conv_s") for rule in ("fedavg", "median")}
    assert {entry["name"] for entry in results["stages"]["trials"]} == names
    page = (tmp_path / "study" / "report.html").read_text()
    assert all(f"{name}-seed0" in page for name in names)


def test_a_study_of_encoders_prepares_each_grid_once_and_measures_each_encoder(
    small_experiment: Any, tmp_path: Path
) -> None:
    path = write_study(
        small_experiment,
        tmp_path / "study",
        cache=str(tmp_path / "cache"),
        encoders=["deepbet", "tiny", {"encoder": "tiny", "label": "coarse", "preparation": {"spacing_mm": 2.0}}],
        heads=["linear"],
        references=["random"],
        rules=["fedavg"],
        baselines=[],
    )
    process = start(path)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    results = json.loads((tmp_path / "study" / "study.json").read_text())
    names = [record["name"] for record in results["stages"]["encoders"]]
    assert names == [
        "deepbet-linear-frozen-fedavg",
        "deepbet-random",
        "tiny-linear-frozen-fedavg",
        "coarse-linear-frozen-fedavg",
    ]
    assert set(results["chosen"]) == {"encoder", "head", "tuning", "rule"}
    assert set(results["encoding"]) == {"deepbet", "tiny", "coarse"}
    scans = len(list(small_experiment.folder.rglob("*_T1w.nii.gz")))
    assert len(list((tmp_path / "cache").glob("*/prepared/*.npy"))) == 2 * scans
    page = (tmp_path / "study" / "report.html").read_text()
    assert "deepbet LinkNet encoder (random weights)" in page
    assert "weights pre-trained, from deepbet" in page
