"""The files of a run folder that the run itself writes and reads: opening it, and the marks of a complete run."""

import json
import shutil
from typing import Any

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import storage_errors, write_json
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.run_config import read_run_config, write_run_config

ADDABLE = ("baselines", "explain")
"""Keys that may change in a run that has rounds: these rounds do not depend on them."""


def open_run(folder: RunFolder, public: dict[str, Any], *, resume: bool) -> None:
    """Write the configuration into a new run folder, or check that the folder holds the same run.

    Baselines may be added to a run, and `explain` changed: its rounds are kept, and the evaluation is done again. A run
    that stopped before its first round is replaced.

    Args:
        folder: The run folder.
        public: The resolved configuration, without paths.
        resume: Whether a run in the folder is to be continued.

    Raises:
        InputError: When the folder holds a run and `resume` is False, holds a run of another configuration, or
            cannot be written.
    """
    if not folder.config.exists() or not _has_rounds(folder):
        _begin(folder, public)
        return
    if not resume:
        raise InputError(f"{folder.path}: already holds a run; add --resume to continue it, or change `output`")
    before = read_run_config(folder.config)
    differing = sorted(key for key in before.keys() | public.keys() if before.get(key) != public.get(key))
    if not differing:
        return
    if not set(differing) <= set(ADDABLE) or not set(before["baselines"]) <= set(public["baselines"]):
        raise InputError(
            f"{folder.path}: holds a run of another configuration (differs in {', '.join(differing)}); "
            "change `output`, or undo the change to resume"
        )
    folder.metrics.unlink(missing_ok=True)
    if "explain" in differing and folder.saliency.exists():
        shutil.rmtree(folder.saliency)
    write_run_config(folder.config, public)


def _begin(folder: RunFolder, public: dict[str, Any]) -> None:
    with storage_errors(folder.path):
        if folder.config.exists():
            for path in (folder.flow, folder.audit, folder.profiles, folder.environment):
                path.unlink(missing_ok=True)
        elif folder.path.exists() and any(folder.path.iterdir()):
            raise InputError(f"{folder.path}: holds files but no run of this program; change `output`")
        write_run_config(folder.config, public)


def _has_rounds(folder: RunFolder) -> bool:
    """Whether a round was begun, or the run is complete."""
    return any(path.exists() for path in (folder.metrics, folder.rounds.ledger, folder.rounds.checkpoints))


def read_metrics(folder: RunFolder) -> dict[str, Any]:
    """Read the results of the evaluation. Raises `InputError` when the run is not complete."""
    if not folder.metrics.exists():
        raise InputError(f"{folder.metrics}: missing, the run is not complete; run it again with --resume")
    return dict(json.loads(folder.metrics.read_text(encoding="utf-8")))


def write_metrics(folder: RunFolder, metrics: dict[str, Any], summaries: dict[str, Any]) -> None:
    """Write the summaries by site, then the metrics, which mark the run as complete."""
    for site, summary in summaries.items():
        write_json(folder.summary(site), summary)
    write_json(folder.metrics, metrics)
