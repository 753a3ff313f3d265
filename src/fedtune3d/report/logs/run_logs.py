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
"""What each log needs to be installed."""


class Log(Protocol):
    """Where numbers go. A number is given again only by another run of the program."""

    def describe(self, text: str) -> None:
        """What a reader must know before any number."""
        ...

    def add(self, values: Sequence[Value]) -> None:
        """Take numbers."""
        ...

    def close(self, ended_well: bool) -> None:
        """The run ends."""
        ...

    def said(self, error: Exception) -> str:
        """An error in a line that may be shown."""
        ...


class RunLogs:
    """The logs that an experiment names, for the length of a run.

    A log that fails while the run goes on is no reason to stop it: a warning is given, and what is missing is added
    when the run is done, or when it is run again with --resume.
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
        """State once that scans are simulated or weights random, where they are."""
        text = "" if self.described else caveat(facts)
        self.described = True
        if text:
            for name, log in self.logs.items():
                self._try(name, partial(log.describe, text))

    def follow(self) -> None:
        """Log the committed lines of the ledger that were not logged yet; called where no other line is in it."""
        lines = self.ledger.lines() if self.logs else []
        for name, log in self.logs.items():
            values = [value for line in lines[self.given[name] :] for value in round_values(line)]
            if name not in self.failed and self._try(name, partial(log.add, values)):
                self.given[name] = len(lines)

    def finish(self, metrics: RunMetrics) -> None:
        """Log the evaluation, and what a log that failed is behind with."""
        self.failed.clear()
        self.describe(metrics)
        self.follow()
        for name, log in self.logs.items():
            self._try(name, partial(log.add, evaluation_values(metrics)))

    def _try(self, name: str, call: Callable[[], None]) -> bool:
        """Return whether the call succeeded; the first failure of a log is shown as a warning."""
        try:
            call()
        except Exception as error:
            if name not in self.failed:
                said = self.logs[name].said(error)
                logger.warning("log: %s: %s; the run goes on, and --resume logs what is missing", name, said)
            self.failed.add(name)
            return False
        return True


def require_packages(names: Sequence[str]) -> None:
    """Raise `InputError` where a log's packages are not installed."""
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
