"""`fedtune3d verify` as a user meets it."""

import shutil
from pathlib import Path

import pytest
from command_line import call

from fedtune3d._utils.folders import RunFolder


def test_a_whole_run_is_said_to_be_whole(small_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, errors = call(capsys, "verify", small_run.path)
    assert (code, errors) == (0, "")
    assert "files verified, 0 damaged; " in said


def test_a_flipped_bit_is_named_with_what_helps(
    small_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(Path(shutil.copytree(small_run.path, tmp_path / "run")))
    content = bytearray(run.best_checkpoint.read_bytes())
    content[-1] ^= 1
    run.best_checkpoint.write_bytes(content)
    code, said, errors = call(capsys, "verify", run.path)
    assert code == 2
    assert errors.startswith(f"{run.best_checkpoint}: ")
    assert len(errors.splitlines()) == 1
    assert " files verified, 1 damaged; " in said
