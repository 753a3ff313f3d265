"""One trial of a study in its own process says how it ended."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedtune3d.config.experiment import Experiment
from fedtune3d.config.handover import to_line
from fedtune3d.workflows import trial


@pytest.mark.ci
def test_a_fault_of_the_input_is_on_the_last_line(tmp_path: Path) -> None:
    experiment = Experiment.model_validate(
        {
            "name": "x",
            "sites": [{"name": "A", "root": str(tmp_path / "none")}],
            "labels": {"positive": ["AD"], "negative": ["CN"]},
            "output": str(tmp_path / "run"),
            "cache": str(tmp_path / "cache"),
        }
    )
    with subprocess.Popen(
        [sys.executable, "-m", trial.__name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(to_line(experiment))
        process.stdin.flush()  # and left open: the process ends when its input does
        lines = process.stdout.read().splitlines()
        assert process.wait(timeout=60) == 0
    assert "none" in json.loads(lines[-1])["fault"]
    assert not (tmp_path / "run" / "metrics.json").exists()
