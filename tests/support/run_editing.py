"""Change the files of a run folder, written as a run writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.run_config import read_run_config, write_run_config
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.evaluation.metrics import RunMetrics, read_metrics


def change_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Let `change` edit the configuration in place."""
    config = read_run_config(RunFolder(folder).config)
    change(config)
    write_run_config(RunFolder(folder).config, config)


def change_metrics(folder: Path, change: Callable[[RunMetrics], RunMetrics]) -> None:
    write_typed(RunFolder(folder).metrics, change(read_metrics(RunFolder(folder).metrics)))
