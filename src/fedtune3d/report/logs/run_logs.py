"""The logs of a run, kept in step with its ledger."""

import importlib.util
import logging
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.json_values import Json
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.federation.environment import Environment
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.report import caveat
from fedtune3d.report.logs.mlflow import MlflowLog
from fedtune3d.report.logs.tensorboard import TensorBoardLog
from fedtune3d.report.logs.values import Value, evaluation_values, round_values

logger = logging.getLogger(__name__)

PACKAGES = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
"""Packages that each log needs."""


class Log(Protocol):
    """A destination for numbers. A number is added a second time only if the program is started again."""

    def describe(self, text: str) -> None:
        """Show a caveat along with the numbers."""
        ...

    def add(self, values: Sequence[Value]) -> None:
        """Add values."""
        ...

    def close(self, ended_well: bool) -> None:
        """Close the log at the end of the run."""
        ...

    def describe_error(self, error: Exception) -> str:
        """Return one line on an error, without secrets."""
        ...


class RunLogs:
    """The logs named in an experiment, open for the duration of a run.

    A log that fails does not stop the run: it warns, and the missing values are added when the run is done or is run
    again with --resume.
    """

    def __init__(self, names: Sequence[str], folder: RunFolder, config: dict[str, Json]) -> None:
        self.ledger = RoundsFolder(folder.path)
        self.logs = {name: _open(name, folder, config) for name in names}
        self.given: dict[str, int] = dict.fromkeys(names, 0)
        self.failed: set[str] = set()
        self.described = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for name, log in self.logs.items():
            self._try(name, partial(log.close, kind is None))

    def describe(self, facts: RunMetrics | Environment) -> None:
        """Add a caveat, once, if scans are simulated or weights random."""
        text = "" if self.described else caveat(facts)
        self.described = True
        if text:
            for name, log in self.logs.items():
                self._try(name, partial(log.describe, text))

    def follow(self) -> None:
        """Log the lines of the ledger that were not logged yet; to be called only when all its lines are committed."""
        lines = self.ledger.lines() if self.logs else []
        for name, log in self.logs.items():
            values = [value for line in lines[self.given[name] :] for value in round_values(line)]
            if name not in self.failed and self._try(name, partial(log.add, values)):
                self.given[name] = len(lines)

    def finish(self, metrics: RunMetrics) -> None:
        """Log the evaluation, and catch up on the logs that failed."""
        self.failed.clear()
        self.describe(metrics)
        self.follow()
        for name, log in self.logs.items():
            self._try(name, partial(log.add, evaluation_values(metrics)))

    def _try(self, name: str, call: Callable[[], None]) -> bool:
        """Return whether the call succeeded; warn at the first failure of a log."""
        try:
            call()
        except Exception as error:
            if name not in self.failed:
                reason = self.logs[name].describe_error(error)
                logger.warning("log: %s: %s; the run continues, and --resume logs the missing values", name, reason)
            self.failed.add(name)
            return False
        return True


def require_packages(names: Sequence[str]) -> None:
    """Raise `InputError` if the packages of a log are not installed."""
    for name in names:
        if missing := [package for package in PACKAGES[name] if importlib.util.find_spec(package) is None]:
            raise InputError(
                f"log: {name!r} needs the package {' and '.join(missing)}; "
                f"install it with: pip install 'fedtune3d[{name}]'"
            )


def _open(name: str, folder: RunFolder, config: dict[str, Json]) -> Log:
    if name == "tensorboard":
        return TensorBoardLog(folder.log(name), config)
    return MlflowLog(folder.log(name), config)
