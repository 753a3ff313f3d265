"""Runs that log to TensorBoard and MLflow, read back with the two packages and compared with the ledger."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from waiting import wait_while_running

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d._utils.progress import Advance
from fedtune3d._utils.run_config import read_run_config
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.ledger import append_ledger_line, read_ledger
from fedtune3d.report.logs import require_packages
from fedtune3d.workflows.run import run_experiment

pytest.importorskip("tensorboard")
mlflow = pytest.importorskip("mlflow")

Held = dict[tuple[str, int], float]
BOTH = ["tensorboard", "mlflow"]


class StopAfter:
    """Progress that ends the run by Ctrl-C when so many rounds are committed, before they are logged."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        def advance(done: int, total: int) -> None:
            if text.startswith("rounds") and done == self.rounds:
                raise KeyboardInterrupt

        yield advance

    def note(self, text: str) -> None:
        """Nobody looks at it."""


def in_tensorboard(run: Path) -> Held:
    """Name and step → value; fails where a step stands twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    assert found.Tensors("config/text_summary")
    assert b"weights are random" in found.Tensors("caveat/text_summary")[0].tensor_proto.string_val[0]
    return once([(name, event.step, event.value) for name in found.Tags()["scalars"] for event in found.Scalars(name)])


def in_mlflow(run: Path, status: str = "FINISHED") -> Held:
    """As `in_tensorboard`; there is one run, and it ended so."""
    client = mlflow.MlflowClient(f"sqlite:///{run}/mlflow/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'fedtune3d'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == status
    assert found.data.params["training.rounds"] == "3"
    assert found.data.params["sites"] == "A, B"
    assert "weights are random" in found.data.tags["mlflow.note.content"]
    (config,) = (run / "mlflow").rglob("config.yaml")
    assert yaml.safe_load(config.read_text()) == read_run_config(run / "config.yaml")
    names = found.data.metrics
    history = [
        (name, one.step, one.value) for name in names for one in client.get_metric_history(found.info.run_id, name)
    ]
    return once(history)


def once(values: list[tuple[str, int, float]]) -> Held:
    assert [key for key, count in Counter((name, step) for name, step, _ in values).items() if count > 1] == []
    return {(name, step): value for name, step, value in values}


def in_the_run(run: Path) -> Held:
    """What the logs must hold, taken from the ledger and the metrics."""
    held: Held = {}
    for line in [json.loads(text) for text in (run / "rounds.jsonl").read_text().splitlines()]:
        round_, scored = line["round"], line["validation"]["state_round"]
        held["round/validation_auc_mean", scored] = line["validation"]["mean_auc"]
        held["round/validation_loss_pooled", scored] = line["validation"]["pooled_loss"]
        for site, entry in line["sites"].items():
            held[f"validation_auc/{site}", scored] = entry["received"]["auc"]
            held[f"validation_loss/{site}", scored] = entry["received"]["loss"]
            if line["kind"] == "train":
                held |= {
                    (f"{key}/{site}", round_): entry[key] for key in ("weight", "bytes_down", "bytes_up", "seconds")
                }
                held[f"training_loss/{site}", round_] = entry["loss"]
        if line["kind"] == "train":
            held |= {("round/seconds", round_): line["seconds"], ("round/sites", round_): 2}
    metrics = json.loads((run / "metrics.json").read_text())
    federated, best = metrics["methods"]["federated"], metrics["best_round"]
    aucs = {f"auc/federated/{site}": federated["sites"][site]["auc"] for site in "AB"}
    aucs |= {"auc_mean/federated": federated["mean_auc"], "auc_pooled/federated": federated["pooled"]["auc"]}
    for place, estimate in aucs.items():
        for key, end in (("value", ""), ("low", "_low"), ("high", "_high")):
            held["test/" + place.replace("/", f"{end}/", 1), best] = estimate[key]
    return held


@pytest.fixture
def write(small_experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    training = {"rounds": 3, "batch_size": 4}
    return lambda name, **changes: small_experiment.write(tmp_path / name, training=training, **changes)


@pytest.mark.ci
def test_a_run_that_was_stopped_ends_with_the_same_logs(write: Any, tmp_path: Path) -> None:
    path, run = write("run", log=BOTH), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_experiment(Experiment.from_yaml(path), progress=StopAfter(2), report=False)
    assert max(step for name, step in in_mlflow(run, "FAILED") if name == "round/seconds") == 1
    ledger = run / "rounds.jsonl"
    append_ledger_line(ledger, replace(read_ledger(ledger)[-1], round=3))  # killed before it was committed
    run_experiment(Experiment.from_yaml(path), resume=True, report=False)
    assert in_mlflow(run) == in_the_run(run)
    assert in_tensorboard(run) == pytest.approx(in_the_run(run))
    run_experiment(Experiment.from_yaml(path), resume=True, report=False)  # nothing is left to do
    assert in_mlflow(run) == in_the_run(run)
    assert in_tensorboard(run) == pytest.approx(in_the_run(run))


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_logs(write: Any, tmp_path: Path) -> None:
    path, run = write("run", log=BOTH), tmp_path / "run"
    command = [sys.executable, "-m", "fedtune3d", "run", str(path), "--resume"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_while_running(process, (run / "checkpoints" / "rule-00002.safetensors").exists, "the second round")
    process.kill()
    process.wait()
    assert not (run / "metrics.json").exists()
    subprocess.run(command, check=True)
    assert in_mlflow(run) == in_the_run(run)
    assert in_tensorboard(run) == pytest.approx(in_the_run(run))


def test_a_finished_run_is_logged_afterwards_and_its_bits_stay(write: Any, tmp_path: Path) -> None:
    plain = Experiment.from_yaml(write("run"))
    run = run_experiment(plain, report=False).path
    before = {path: sha256_file(path) for path in (run / "metrics.json", run / "checkpoints" / "last.safetensors")}
    logged = Experiment.from_yaml(write("run", log="tensorboard"))
    assert "log" not in logged.public()
    assert logged.sha256() == plain.sha256()
    run_experiment(logged, resume=True, report=False)
    assert {path: sha256_file(path) for path in before} == before
    assert in_tensorboard(run) == pytest.approx(in_the_run(run))


@pytest.mark.slow
def test_a_store_that_fails_stops_no_run(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise ConnectionError("the store is gone")

    path = write("run", log="mlflow")
    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "log_batch", refused_with_metrics(mlflow.MlflowClient.log_batch, refused))
        run = run_experiment(Experiment.from_yaml(path), report=False).path
    assert (
        caplog.text.count("log: mlflow: ConnectionError: the store is gone; the run continues") == 2
    )  # and at the end
    run_experiment(Experiment.from_yaml(path), resume=True, report=False)
    assert in_mlflow(run) == in_the_run(run)


def refused_with_metrics(real: Any, refused: Any) -> Any:
    return lambda self, run_id, metrics=(), **rest: refused() if metrics else real(self, run_id, **rest)


def test_a_store_that_is_not_there_stops_the_start(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "carrier-pigeon://user:secret@loft")
    with pytest.raises(InputError, match=r"log: mlflow: .*correct MLFLOW_TRACKING_URI or `log`") as caught:
        run_experiment(Experiment.from_yaml(write("run", log="mlflow")), report=False)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "run" / "rounds.jsonl").exists()


@pytest.mark.parametrize("name", BOTH)
def test_a_missing_package_is_named_before_the_run(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"log: '{name}' needs the package {name}; .* 'fedtune3d\[{name}\]'"):
        run_experiment(Experiment.from_yaml(write("run", log=name)), report=False)
    assert not (tmp_path / "run").exists()


def test_no_log_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BOTH:
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    require_packages(())
    with pytest.raises(InputError, match="needs the package"):
        require_packages(BOTH)
