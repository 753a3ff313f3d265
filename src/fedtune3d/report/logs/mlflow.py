"""Logging to MLflow: one run in the store named by MLFLOW_TRACKING_URI, else in a SQLite store in the run folder."""

import json
import logging
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import MlflowPaths
from fedtune3d._utils.folders.run import CONFIG
from fedtune3d._utils.json_values import Json
from fedtune3d.report.logs.values import Value

T = TypeVar("T")

TAG = "fedtune3d.run"
BATCH = 100
"""Maximum number of metrics or parameters per request; a server accepts no more than 100 parameters."""


class MlflowLog:
    """An MLflow run, found again by a tag when the run is resumed; values that it already holds are not added again.

    Its experiment is named by MLFLOW_EXPERIMENT_NAME, else `fedtune3d`. MLflow's own usage reports are off unless
    MLFLOW_DISABLE_TELEMETRY is set to false.

    Raises:
        InputError: If the store cannot be used.
    """

    def __init__(self, folder: Path, config: dict[str, Json]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # the default of seven takes four minutes
        from mlflow import MlflowClient

        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self.uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        local = None if self.uri else folder.absolute()
        if local is not None:
            local.mkdir(parents=True, exist_ok=True)
        try:
            self.client = MlflowClient(self.uri or f"sqlite:///{MlflowPaths(folder.absolute()).store}")
            self.run_id = self._open(str(config["name"]), _own_id(MlflowPaths(folder).run_id), local)
            self.held: set[tuple[str, int]] | None = None
            self._write_config(config)
        except Exception as error:
            raise InputError(
                f"log: mlflow: {self.describe_error(error)}; correct MLFLOW_TRACKING_URI or `log`, "
                "and run again with --resume"
            ) from error

    def _open(self, name: str, own_id: str, local: Path | None) -> str:
        """Return the id of the MLflow run, creating it if needed."""
        experiment_id = self._experiment(local)
        runs = self.client.search_runs([experiment_id], f"tags.`{TAG}` = '{own_id}'")
        if not runs:
            return str(self.client.create_run(experiment_id, run_name=name, tags={TAG: own_id}).info.run_id)
        self.client.update_run(runs[0].info.run_id, status="RUNNING")
        return str(runs[0].info.run_id)

    def _experiment(self, local: Path | None) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "fedtune3d")
        if (experiment := self.client.get_experiment_by_name(name)) is not None:
            return str(experiment.experiment_id)
        # By default, artifacts of a local store would go to the working directory.
        return str(
            self.client.create_experiment(name, None if local is None else MlflowPaths(local).artifacts.as_uri())
        )

    def _held(self) -> set[tuple[str, int]]:
        names = self.client.get_run(self.run_id).data.metrics
        histories = {name: self.client.get_metric_history(self.run_id, name) for name in names}
        return {(name, metric.step) for name, history in histories.items() for metric in history}

    def _write_config(self, config: dict[str, Json]) -> None:
        """Log the configuration as parameters and as a file.

        MLflow's parameters cannot be changed, so a resumed run keeps its own; baselines, which can be added to a run,
        are not logged as a parameter.
        """
        from mlflow.entities import Param

        held = self.client.get_run(self.run_id).data.params
        values = {name: value for name, value in _flat(config).items() if name not in (*held, "baselines")}
        for part in _batches([Param(name, value) for name, value in values.items()]):
            self.client.log_batch(self.run_id, params=part)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        self.client.log_text(self.run_id, text, CONFIG)

    def describe(self, text: str) -> None:
        """Set the run's description."""
        self.client.set_tag(self.run_id, "mlflow.note.content", text)

    def add(self, values: Sequence[Value]) -> None:
        """Send the values that the store does not hold yet."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        held, self.held = self._held() if self.held is None else self.held, None  # stays None if this fails half-way
        new = [value for value in values if (value.name, value.step) not in held]
        for part in _batches(new):
            metrics = [Metric(value.name, value.value, now, value.step) for value in part]
            self.client.log_batch(self.run_id, metrics=metrics)
        self.held = held | {(value.name, value.step) for value in new}

    def close(self, ended_well: bool) -> None:
        """Mark the run as finished or failed."""
        self.client.set_terminated(self.run_id, "FINISHED" if ended_well else "FAILED")

    def describe_error(self, error: Exception) -> str:
        """Return the first line of MLflow's message without the store's address, which can hold a password."""
        text = str(error).replace(self.uri, "MLFLOW_TRACKING_URI") if self.uri else str(error)
        return f"{type(error).__name__}: {text.strip().splitlines()[0] if text.strip() else ''}"


def _own_id(path: Path) -> str:
    """Return the id kept in the run folder; drawn before the store's, so that a killed run is not logged twice."""
    if not path.exists():
        write_text(path, uuid.uuid4().hex + "\n")
    return path.read_text(encoding="utf-8").strip()


def _flat(config: Mapping[str, Json], prefix: str = "") -> dict[str, str]:
    """Flatten the configuration: `training.rounds` → `20`; lists as JSON, sites by name."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif prefix + key == "sites" and isinstance(value, list):
            flat[key] = ", ".join(str(site["name"]) for site in value if isinstance(site, dict))
        else:
            flat[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _batches(items: list[T]) -> list[list[T]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
