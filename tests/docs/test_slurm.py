"""The job script of the how-to: the page and the file are one, and a job that runs out of time continues later."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT
from waiting import wait_until

SCRIPT = ROOT / "examples" / "slurm" / "run.sbatch"


def test_the_page_shows_the_file() -> None:
    page = (DOCS / "how-to" / "slurm.md").read_text()
    shown = re.search(r"```bash\n(.*?)```", page, flags=re.DOTALL)
    assert shown is not None
    assert shown[1] == SCRIPT.read_text()


def test_bash_can_read_it_and_slurm_is_asked_for_what_a_job_needs() -> None:
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0
    asked = re.findall(r"^#SBATCH --([\w-]+)", SCRIPT.read_text(), flags=re.MULTILINE)
    assert {"cpus-per-task", "mem", "time", "requeue", "signal"} <= set(asked)


@pytest.mark.slow
def test_a_job_that_runs_out_of_time_is_queued_again_and_continues(small_experiment, tmp_path: Path) -> None:
    training = {"rounds": 200, "batch_size": 4}
    small_experiment.write(tmp_path / "run", training=training).rename(tmp_path / "experiment.yaml")
    queued = tmp_path / "queued"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {queued}\n')
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    environment = {
        **os.environ,
        "FEDTUNE3D": f"{sys.executable} -m fedtune3d",
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "SLURM_JOB_ID": "7",
    }
    shutil.copy(SCRIPT, tmp_path)
    job = subprocess.Popen(["bash", SCRIPT.name], cwd=tmp_path, env=environment)
    ledger = tmp_path / "run" / "rounds.jsonl"
    wait_until(lambda: ledger.exists() and len(ledger.read_text().splitlines()) > 2, "the first rounds")
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=120) == 0
    assert queued.read_text() == "requeue 7\n"
    before = ledger.read_text().splitlines()
    assert len(before) < 200
    job = subprocess.Popen(["bash", SCRIPT.name], cwd=tmp_path, env=environment)
    wait_until(lambda: len(ledger.read_text().splitlines()) > len(before) + 2, "further rounds")
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=120) == 0
    assert ledger.read_text().splitlines()[: len(before) - 1] == before[:-1]
