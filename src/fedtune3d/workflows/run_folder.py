"""Opening a run folder, and reading and writing the files that mark a complete run."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import storage_errors
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.locks import is_unused
from fedtune3d._utils.run_config import read_run_config, write_run_config
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.config.feature_versions import find_other_features
from fedtune3d.config.own_encoder import named_code
from fedtune3d.evaluation.any_outcome import AnySummary
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.federation.environment import Environment


def open_run(
    folder: RunFolder, public: dict[str, Json], *, resume: bool, may_grow: bool = True, alone: bool = True
) -> None:
    """Write the configuration to a new run folder, or check that the folder contains the same run.

    Baselines and rounds may be added to a run, and `explain` and `evaluation` may change: its rounds are kept, and the
    evaluation is repeated. A run that stopped before its first round is replaced.

    Args:
        folder: The run folder.
        public: The resolved configuration, without paths.
        resume: Whether to continue a run in the folder.
        may_grow: Whether rounds may be added; not across hospitals, where sites identify the experiment by its hash.
        alone: Whether the run is compared with no others; those of a study or cross-validation must agree in features,
            even if they are complete.

    Raises:
        InputError: If the folder contains a run and `resume` is False, contains a run with another configuration, or
            cannot be written; or has rounds with another version of the encoder or of the preparation.
    """
    if not folder.config.exists() or not _has_rounds(folder):
        _begin(folder, public)
        return
    if not resume:
        raise InputError(f"{folder.path}: already contains a run; add --resume to continue it, or change `output`")
    before = read_run_config(folder.config)
    differing = list(_differences(before, public))
    if alone and folder.metrics.exists() and not differing:
        return
    for difference in differing:
        if not _is_addition(difference, public, may_grow):
            raise InputError(_refusal(folder, differing))
    if problem := _find_other_features(folder, public):
        raise InputError(problem)
    if not differing:
        return
    folder.metrics.unlink(missing_ok=True)
    if folder.saliency.exists() and any(difference.top in ("explain", "training") for difference in differing):
        shutil.rmtree(folder.saliency)
    write_run_config(folder.config, public)


def earlier_run_warnings(folder: RunFolder, public: dict[str, Json]) -> list[str]:
    """Warn that a folder contains a run already, whose sets `plan` and `check` show, and that `run` will say so.

    Args:
        folder: The run folder.
        public: The resolved configuration of what is planned.
    """
    if not folder.config.exists() or not _has_rounds(folder):
        return []
    differing = list(_differences(read_run_config(folder.config), public))
    if all(_is_addition(difference, public, may_grow=True) for difference in differing):
        if problem := _find_other_features(folder, public):
            return [problem]
        return [f"{folder.path}: already contains this run; `run` needs --resume to continue it"]
    return [f"{_refusal(folder, differing)}. People are shown in the sets of that run"]


@dataclass(frozen=True)
class _Difference:
    """A dotted key of the configuration, with its value in the run folder and the new one."""

    key: str
    before: object
    now: object

    @property
    def top(self) -> str:
        return self.key.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.before)} before, {_shown(self.now)} now"


def _differences(before: object, now: object, key: str = "") -> Iterator[_Difference]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(before.get(name), now.get(name), inner)
    elif before != now:
        yield _Difference(key, before, now)


def _is_addition(difference: _Difference, public: dict[str, Json], may_grow: bool) -> bool:
    """Return whether the rounds in the folder are also valid for the new configuration."""
    before, now = difference.before, difference.now
    if difference.key == "baselines":
        return isinstance(before, list) and isinstance(now, list) and all(baseline in now for baseline in before)
    if difference.key == "training.rounds":
        training = public["training"]
        constant = isinstance(training, dict) and training.get("schedule") == "constant"
        return may_grow and constant and isinstance(before, int) and isinstance(now, int) and now > before
    return difference.top in ("explain", "evaluation")


def _refusal(folder: RunFolder, differing: Sequence[_Difference]) -> str:
    shown = "; ".join(map(str, differing[:5])) + (f"; and {len(differing) - 5} more" if len(differing) > 5 else "")
    hint = ""
    if any(difference.key == "training.rounds" for difference in differing):
        hint = " (rounds can be added in one process, with a constant schedule, if nothing else differs)"
    return (
        f"{folder.path}: contains a run with another configuration ({shown}){hint}; "
        "change `output`, or undo the change to resume"
    )


def _find_other_features(folder: RunFolder, public: dict[str, Json]) -> str | None:
    """Return why a run cannot be continued with this program's features; None if it can, or its environment is lost."""
    if not folder.environment.exists():
        return None
    encoder, _ = named_code(public)
    trained_on = read_typed(Environment, folder.environment, "run it again with --resume").features
    problem = find_other_features(encoder, trained_on)
    return f"{folder.path}: {problem} with another `output`" if problem else None


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _begin(folder: RunFolder, public: dict[str, Json]) -> None:
    with storage_errors(folder.path):
        if folder.config.exists():
            for path in (folder.flow, folder.audit, folder.profiles, folder.environment):
                path.unlink(missing_ok=True)
        elif not is_unused(folder.path):
            raise InputError(f"{folder.path}: contains files but no run; change `output`")
        write_run_config(folder.config, public)


def began_at(folder: RunFolder, now: str) -> str:
    """Return when the run in a folder began, as ISO 8601: what its environment says if it was begun before, or now."""
    earlier = None
    if folder.environment.exists():
        earlier = read_typed(Environment, folder.environment, "run it again with --resume").started
    return earlier or now


def require_device(folder: RunFolder, device: str) -> None:
    """Check that a run is continued on the kind of device on which its rounds were trained, as bits depend on it.

    Args:
        folder: The run folder.
        device: ``cpu`` or ``cuda``.

    Raises:
        InputError: If it has rounds from the other one.
    """
    if not _has_rounds(folder) or not folder.environment.exists():
        return
    before = read_typed(Environment, folder.environment, "run it again with --resume").device
    if before != device:
        names = {"cpu": "the CPU", "cuda": "a GPU"}
        hint = "; CUDA_VISIBLE_DEVICES= hides it" if before == "cpu" else ""
        raise InputError(
            f"{folder.path}: its rounds were trained on {names[before]}, but would continue on {names[device]}, which "
            f"gives other bits; continue it on {names[before]}{hint}, or change `output`"
        )


def _has_rounds(folder: RunFolder) -> bool:
    """Return whether a round has begun, or the run is complete."""
    return any(path.exists() for path in (folder.metrics, folder.rounds.ledger, folder.rounds.checkpoints))


def read_metrics(folder: RunFolder) -> RunMetrics:
    """Read the results of the evaluation. Raises `InputError` if the run is not complete."""
    if not folder.metrics.exists():
        raise InputError(f"{folder.metrics}: missing, the run is not complete; run it again with --resume")
    return read_typed(RunMetrics, folder.metrics, "run it again with --resume")


def write_metrics(folder: RunFolder, metrics: RunMetrics, summaries: Mapping[str, Mapping[str, AnySummary]]) -> None:
    """Write each site's summaries by method, then the metrics, which mark the run as complete."""
    for site, by_method in summaries.items():
        write_typed(folder.summary(site), dict(by_method))
    write_typed(folder.metrics, metrics)
