"""`fedtune3d run` and `report` as a user meets them: what they print and write, and one line for bad input."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from command_line import call
from unrendered import unrendered_figures

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.locks import one_writer
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.cohorts.flow import SiteFlow


@pytest.mark.ci
def test_prepare_run_and_report(capsys: pytest.CaptureFixture[str], small_experiment: Any, tmp_path: Path) -> None:
    path = small_experiment.write(tmp_path / "run")
    code, out, _ = call(capsys, "prepare", path)
    pages = [Path(small_experiment.values["cache"]) / name / "qc.html" for name in "AB"]
    told = ["A: 14 scans prepared", f"  quality control: {pages[0]}"]
    told += ["B: 10 scans prepared", f"  quality control: {pages[1]}"]
    assert (code, out.splitlines()[:4]) == (0, told)
    assert all(page.exists() for page in pages)
    assert [line.split() for line in out.splitlines() if "Included" in line] == [
        ["Included", "14", "(14)", "10", "(10)", "24", "(24)"]
    ]
    code, out, _ = call(capsys, "run", path)
    assert code == 0
    assert "Test AUC [95% CI]" in out
    assert "weights are random" in out
    assert f"report: {tmp_path / 'run' / 'report.html'}" in out
    (tmp_path / "run" / "report.html").unlink()
    assert call(capsys, "report", tmp_path / "run")[0] == 0
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.ci
def test_values_that_cannot_be_read_are_counted_by_whatever_reads_the_table(
    capsys: pytest.CaptureFixture[str], small_experiment: Any, tmp_path: Path
) -> None:
    shutil.copytree(small_experiment.folder / "A", tmp_path / "A")
    table = tmp_path / "A" / "participants.tsv"
    table.write_text(table.read_text().replace("\t60\t", "\t60-65\t").replace("\t61\t", "\told\t"))
    roots = {"A": tmp_path / "A", "B": small_experiment.folder / "B"}
    sites = [{"name": name, "root": str(root)} for name, root in roots.items()]
    path = small_experiment.write(tmp_path / "run", sites=sites)
    words = "participants.tsv: age: 2 values treated as missing; expected years (0 to 120), got '60-65' in line 2 first"
    for command in (["prepare", path], ["check", path, "--no-near"], ["run", path]):
        with unrendered_figures():
            code, _, err = call(capsys, *command)
        assert code == 0
        assert err.splitlines().count(f"A: warning: {words}") == 1
    kept = read_typed(SiteFlow, RunFolder(tmp_path / "run").site("A").flow, "")
    assert [(warning.count, warning.line) for warning in kept.warnings] == [(2, words)]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<td>values of age treated as missing</td>" in page
    assert "60-65" not in page


def no_participants(folder: Path) -> dict[str, Any]:
    (folder / "A" / "participants.tsv").unlink()
    return {}


def missing_column(folder: Path) -> dict[str, Any]:
    (folder / "A" / "participants.tsv").write_text("participant_id\tgroup\nsub-00\tAD\n")
    return {}


def duplicate(folder: Path) -> dict[str, Any]:
    table = folder / "A" / "participants.tsv"
    table.write_text(table.read_text() + "sub-00\tAD\t70\tF\n")
    return {}


def unknown_labels(folder: Path) -> dict[str, Any]:
    return {"labels": {"positive": ["sick"], "negative": ["well"]}}


def truncated_scan(folder: Path) -> dict[str, Any]:
    scan = folder / "A" / "sub-03" / "anat" / "sub-03_T1w.nii.gz"
    scan.write_bytes(scan.read_bytes()[:2000])
    return {}


def wrong_shapes(folder: Path) -> dict[str, Any]:
    state = {"model_state_dict": {"image_encoder.pos_embed": torch.zeros(1, 2, 2, 2, 768)}}
    torch.save(state, folder / "other.pth")
    return {"model": {"encoder": "tiny", "weights": str(folder / "other.pth")}}


def pickled_code(folder: Path) -> dict[str, Any]:
    torch.save({"model_state_dict": np.random.default_rng}, folder / "evil.pth")
    return {"model": {"encoder": "tiny", "weights": str(folder / "evil.pth")}}


def missing_weights(folder: Path) -> dict[str, Any]:
    return {"model": {"encoder": "tiny", "weights": "nowhere.pth"}}


BAD = {
    no_participants: "participants.tsv",
    missing_column: "diagnosis",
    duplicate: "sub-00",
    unknown_labels: "AD",
    truncated_scan: "sub-03_T1w.nii.gz",
    wrong_shapes: "other.pth",
    pickled_code: "evil.pth",
    missing_weights: "nowhere.pth",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_bad_input_is_one_line_and_leaves_no_result(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    write_small_site: Callable[..., None],
    spoil: Callable[[Path], dict[str, Any]],
) -> None:
    write_small_site(tmp_path / "A", people=4, seed=1)
    values = {
        "name": "bad",
        "sites": [{"name": "A", "root": "A"}],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "tiny", "head": "linear"},
        "output": "run",
    } | spoil(tmp_path)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(values))
    code, _, err = call(capsys, "run", path)
    lines = [line for line in err.splitlines() if line.startswith("fedtune3d: ")]
    assert code == 2
    assert len(lines) == 1
    assert BAD[spoil] in lines[0]
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert not list(tmp_path.rglob("*.partial.*"))


@pytest.mark.parametrize("command", ["run", "check", "prepare"])
def test_a_study_is_sent_to_benchmark(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: s\nheads: [linear, conv_s]\n")
    code, _, said = call(capsys, command, path)
    assert code == 2
    assert f"run it with: fedtune3d benchmark {path}" in said.replace("\n", "")


def test_an_experiment_is_sent_to_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("name: e\nseed: 0\noutput: run\n")
    code, _, said = call(capsys, "benchmark", path)
    assert code == 2
    assert said.replace("\n", "").endswith(
        f"{path}: this is an experiment file; run it with: fedtune3d run {path}, or make it a study with lists of "
        "seeds, heads, tunings or rules (docs/study.md)"
    )
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("command", ["run", "benchmark"])
def test_a_second_writer_is_refused_before_torch_is_imported(tmp_path: Path, command: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("output: outputs/one\n")
    words = [sys.executable, "-X", "importtime", "-m", "fedtune3d", command, path]
    with one_writer(tmp_path / "outputs" / "one", "fedtune3d run"):
        second = subprocess.run(words, capture_output=True, text=True)
    lines = second.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert second.returncode == 2
    assert "is writing to this folder" in next(line for line in lines if line.startswith("fedtune3d: "))
    assert "fedtune3d._utils.locks" in imported
    assert not imported & {"torch", "scipy", "matplotlib"}
    assert list(tmp_path.iterdir()) == [path]
