"""Runs of a study or of a cross-validation in processes of their own, several at once."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import IO

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.locks import ended_well
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.handover import to_line
from fedtune3d.workflows.run_folder import read_metrics


def is_finished(experiment: Experiment) -> bool:
    """Return whether the run folder contains everything that the experiment asks for, and nothing that a kill left."""
    folder = RunFolder(experiment.output)
    if not ended_well(folder.path):
        return False
    return folder.metrics.exists() and set(experiment.baselines) <= set(read_metrics(folder).evaluated)


def as_trial(experiment: Experiment, trials: int) -> Experiment:
    """Return an experiment as one of `trials` trials at once, which has no workers if there are several."""
    return experiment if trials == 1 else experiment.model_copy(update={"workers": 1})


class TrialProcesses:
    """Runs trials in processes that exit with this one.

    Args:
        log_of: Name of a trial's experiment → the file of its standard error.
    """

    def __init__(self, log_of: Callable[[str], Path]) -> None:
        self.log_of = log_of
        self.running: set[subprocess.Popen[str]] = set()
        self.lock = threading.Lock()
        self.stopped = False

    def run(self, experiments: Sequence[Experiment], workers: int) -> Iterable[tuple[Experiment, str | None]]:
        """Yield each experiment as it ends, with its fault, or None if it succeeded."""
        with ThreadPoolExecutor(max_workers=workers) as pool:
            futures = {pool.submit(self._run_trial, experiment): experiment for experiment in experiments}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                self._stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _run_trial(self, experiment: Experiment) -> str | None:
        log = self.log_of(experiment.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as errors:
            process = self._start(errors)
            if process is None:
                return "stopped"
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(to_line(experiment))
            process.stdin.flush()
            lines = process.stdout.read().splitlines()
            code = process.wait()
            process.stdin.close()
        with self.lock:
            self.running.discard(process)
        return _outcome(code, lines, log)

    def _start(self, errors: IO[str]) -> subprocess.Popen[str] | None:
        with self.lock:
            if self.stopped:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "fedtune3d.workflows.trial"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            self.running.add(process)
        return process

    def _stop(self) -> None:
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.kill()


def _outcome(code: int, lines: Sequence[str], log: Path) -> str | None:
    """Return why a trial failed; None if it succeeded."""
    try:
        outcome = json.loads(lines[-1])
    except (IndexError, ValueError):
        return f"its process exited with {f'signal {-code}' if code < 0 else f'code {code}'}; see {log}"
    fault: str | None = outcome["fault"]
    return fault
