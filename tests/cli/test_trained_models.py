"""`fedtune3d export` and `predict` as a user meets them."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import call

from fedtune3d._utils.folders import RunFolder


def test_export_names_what_it_wrote(small_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = call(capsys, "export", small_run.path, "--merged", "--output", tmp_path / "out")
    assert code == 0
    assert said.splitlines() == [f"wrote {tmp_path / 'out' / name}" for name in ("model.safetensors", "README.md")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "model.safetensors"]


def test_predict_prints_a_table_and_writes_it(
    small_run: RunFolder, small_experiment: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, other = (
        small_experiment.folder / "B" / f"sub-{person}" / "anat" / f"sub-{person}_T1w.nii.gz" for person in ("01", "02")
    )
    code, said, _ = call(capsys, "predict", small_run.path, scan, "--output", tmp_path / "table.tsv")
    assert code == 0
    assert "predicting scans: 2" in call(capsys, "predict", small_run.path, scan, other)[2]
    assert "weights are random" in said.lower().replace("\n", " ")
    assert ": sensitivity " in said
    assert "\nCalibration, all sites: " in said
    assert said.count("Research only") == 1
    assert said.splitlines()[-1] == "Research only, not for diagnosis."
    (row,) = csv.DictReader((tmp_path / "table.tsv").open(), delimiter="\t")
    assert row["scan"] == str(scan)
    with small_run.site("B").predictions().open() as file:
        told = {row["participant"]: float(row["probability"]) for row in csv.DictReader(file, delimiter="\t")}
    assert float(row["probability"]) == pytest.approx(told["sub-01"], rel=1e-3)


def test_a_missing_scan_is_named_before_any_work(
    small_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, table = tmp_path / "none.nii.gz", tmp_path / "table.tsv"
    code, _, errors = call(capsys, "predict", small_run.path, missing, "--output", table)
    assert code == 2
    assert re.search(r"none\.nii\.gz: no such file", errors.replace("\n", ""))
    assert list(tmp_path.iterdir()) == []
