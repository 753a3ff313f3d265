"""Every kind of file that the product reads, which commands read it, and what their results are."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from commands import Outcome, call
from safetensors.torch import save_file
from world import (
    EXPERIMENT,
    RUN,
    STUDY,
    TABLE,
    TABLE_EXPERIMENT,
    Result,
    cache_result,
    copy_world,
    export_result,
    run_result,
    write_world,
)

from fedtune3d.config.experiment import Experiment
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.workflows.run import run_experiment

WEIGHTS = {"pth": "weights_pth.yaml", "safetensors": "weights_safetensors.yaml"}
NO_RESULT = Result({})
FOLDERS = re.compile(r"[\w/.-]*/(?=[\w.-]+)")
"""Leading folders of paths, which differ between copies of a world."""


@dataclass(frozen=True)
class Action:
    """A command with the result that must not differ while it succeeds. Both take the world's folder."""

    name: str
    command: Callable[[Path], Outcome]
    result: Callable[[Path], Result] = lambda folder: NO_RESULT


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: In the table of counts.
        state: The world that is damaged, one of `STATES`.
        patterns: Its files, as globs from the world's folder.
        actions: The commands that read it.
        has_checksum: Whether a command that succeeds must give the undamaged result.
        share: How many cases it gets relative to other kinds.
    """

    name: str
    state: str
    patterns: tuple[str, ...]
    actions: tuple[Action, ...]
    has_checksum: bool
    share: int = 2


def _report_result(folder: Path) -> Result:
    text = (folder / RUN / "report.html").read_text()
    return Result({"report.html": hashlib.sha256(FOLDERS.sub("", text).encode()).hexdigest()})


def _predictions(folder: Path) -> Result:
    lines = [line.partition("\t")[2] for line in (folder / "new.tsv").read_text().splitlines()]
    return Result({"new.tsv": "\n".join(lines)})


def _scan(folder: Path) -> Path:
    return next(folder.glob("A/sub-00/anat/*.nii.gz"))


PREPARE = Action("prepare", lambda folder: call(["prepare", folder / EXPERIMENT, "--workers", 1]))
PREPARE_VOXELS = Action("prepare", PREPARE.command, lambda folder: cache_result(folder / "cache"))
PREPARE_TABLE = Action("prepare", lambda folder: call(["prepare", folder / TABLE_EXPERIMENT, "--workers", 1]))
PLAN = Action("plan", lambda folder: call(["plan", folder / EXPERIMENT]))
PLAN_STUDY = Action("plan", lambda folder: call(["plan", folder / STUDY]))
PLAN_PTH = Action("plan", lambda folder: call(["plan", folder / WEIGHTS["pth"]]))
PLAN_SAFETENSORS = Action("plan", lambda folder: call(["plan", folder / WEIGHTS["safetensors"]]))
RESUME = Action(
    "run --resume",
    lambda folder: call(["run", folder / EXPERIMENT, "--resume"]),
    lambda folder: run_result(folder / RUN),
)
REPORT = Action("report", lambda folder: call(["report", folder / RUN]), _report_result)
EXPORT = Action(
    "export", lambda folder: call(["export", folder / RUN]), lambda folder: export_result(folder / RUN / "export")
)
PREDICT = Action(
    "predict", lambda folder: call(["predict", folder / RUN, _scan(folder), "-o", folder / "new.tsv"]), _predictions
)
CACHE_CHECK = Action("cache check", lambda folder: call(["cache", "check", folder / "cache"]))
SITE_CHECK = Action("site check", lambda folder: call(["site", "check", folder / "server" / "sites" / "A"]))
CHECK_PTH = Action("weights check", lambda folder: call(["weights", "check", folder / "encoder.pth"]))
CHECK_SAFETENSORS = Action("weights check", lambda folder: call(["weights", "check", folder / "encoder.safetensors"]))
SERVER_INIT = Action(
    "server init",
    lambda folder: call(["server", "init", folder / "server", "--address", "localhost:9", "--site", "A"]),
)

KINDS = (
    Kind("scan .nii.gz", "prepared", ("A/*/anat/*.nii.gz",), (PREPARE_VOXELS,), True, 4),
    Kind("scan .nii", "prepared", ("B/*/*/anat/*.nii",), (PREPARE,), False, 3),
    Kind("sidecar .json", "prepared", ("[AB]/**/*_T1w.json",), (PREPARE,), False),
    Kind("participants.tsv", "prepared", ("[AB]/participants.tsv",), (PREPARE,), False),
    Kind("sessions.tsv", "prepared", ("B/*/*_sessions.tsv",), (PREPARE,), False),
    Kind("dataset_description.json", "prepared", ("[AB]/dataset_description.json",), (PREPARE,), False, 1),
    Kind("table of paths", "prepared", (TABLE,), (PREPARE_TABLE,), False),
    Kind("experiment .yaml", "prepared", (EXPERIMENT,), (PREPARE, PLAN), False, 4),
    Kind("study .yaml", "prepared", (STUDY,), (PLAN_STUDY,), False, 2),
    Kind("weights .pth", "prepared", ("encoder.pth",), (PLAN_PTH, CHECK_PTH), False),
    Kind(
        "weights .safetensors",
        "prepared",
        ("encoder.safetensors",),
        (PLAN_SAFETENSORS, CHECK_SAFETENSORS),
        False,
    ),
    Kind("site.yaml, keys", "prepared", ("server/sites/A/*",), (SITE_CHECK,), False),
    Kind("server.yaml, certificates", "prepared", ("server/*.*",), (SERVER_INIT,), False, 1),
    Kind("prepared scan", "stopped", ("cache/*/prepared/*",), (RESUME, RESUME, CACHE_CHECK), True, 3),
    Kind("features", "stopped", ("cache/*/features/*/*.safetensors",), (RESUME, CACHE_CHECK), True),
    Kind("checkpoints of a stopped run", "stopped", (f"{RUN}/checkpoints/*",), (RESUME,), True, 4),
    Kind("site memory", "stopped", (f"{RUN}/sites/*/memory/*",), (RESUME,), True),
    Kind("ledgers", "stopped", (f"{RUN}/*.jsonl", f"{RUN}/sites/*/*.jsonl"), (RESUME,), True),
    Kind("config.yaml", "stopped", (f"{RUN}/config.yaml",), (RESUME,), True),
    Kind("JSON of a stopped run", "stopped", (f"{RUN}/*.json", f"{RUN}/sites/*/*.json"), (RESUME,), True),
    Kind("splits.tsv", "stopped", (f"{RUN}/sites/*/splits.tsv",), (RESUME,), True),
    Kind("checkpoints", "finished", (f"{RUN}/checkpoints/*",), (RESUME, REPORT, EXPORT, PREDICT), True, 3),
    Kind("metrics.json", "finished", (f"{RUN}/metrics.json",), (RESUME, REPORT, PREDICT), True),
    Kind("JSON of a run", "finished", (f"{RUN}/*.json", f"{RUN}/*/*.json"), (RESUME, REPORT, EXPORT), True),
    Kind("rounds.jsonl", "finished", (f"{RUN}/rounds.jsonl",), (RESUME, REPORT), True),
    Kind("config.yaml of a run", "finished", (f"{RUN}/config.yaml",), (RESUME, REPORT, EXPORT, PREDICT), True),
    Kind("feature statistics", "finished", (f"{RUN}/feature_statistics/*",), (REPORT, PREDICT), True),
    Kind("tables of a site", "finished", (f"{RUN}/sites/*/*.tsv",), (RESUME, REPORT), True),
)


def files_of(kind: Kind, world: Path) -> list[Path]:
    """The files of a kind in a world, sorted; without the hidden ones."""
    paths = {path for pattern in kind.patterns for path in world.glob(pattern)}
    return sorted(path for path in paths if path.is_file() and not path.name.startswith("."))


def build_states(folder: Path, last: str = "finished") -> None:
    """Make the worlds that cases copy, up to `last`: `prepared`, `stopped` after one of two rounds, and `finished`.

    Raises:
        RuntimeError: If a command fails on undamaged files, or they are not of every kind.
    """
    prepared = folder / "prepared"
    prepared.mkdir(parents=True)
    write_world(prepared)
    _write_weights(prepared)
    _require(call(["server", "init", prepared / "server", "--address", "localhost:9", "--site", "A"]))
    settings = prepared / "server/sites/A/site.yaml"
    settings.write_text(settings.read_text().replace("/path/to/bids", "../../../A"))
    for action in (PREPARE, PREPARE_TABLE):
        _require(action.command(prepared))
    stopped = copy_world(prepared, folder / "stopped")
    stop_after_round(stopped / EXPERIMENT, 1)
    if last == "finished":
        finished = copy_world(stopped, folder / "finished")
        _require(RESUME.command(finished))
        _require(REPORT.command(finished))
    built = [kind for kind in KINDS if (folder / kind.state).exists()]
    if empty := [kind.name for kind in built if not files_of(kind, folder / kind.state)]:
        raise RuntimeError(f"no files of these kinds: {', '.join(empty)}")


def stop_after_round(experiment: Path, rounds: int) -> None:
    """Run until so many rounds are done, as Ctrl-C would stop it."""

    class Stopping:
        @contextmanager
        def bar(self, text: str) -> Any:
            def advance(done: int, total: int) -> None:
                if text.startswith("rounds (") and done == rounds:
                    raise KeyboardInterrupt

            yield advance

        def note(self, text: str) -> None:
            """Nobody looks at it."""

    try:
        run_experiment(Experiment.from_yaml(experiment), resume=False, progress=Stopping())
    except KeyboardInterrupt:
        return
    raise RuntimeError(f"{experiment}: the run was not stopped")


def expected_results(folder: Path, kinds: Iterable[Kind] = KINDS) -> dict[tuple[str, str], Result]:
    """(state, action) → the result on undamaged files, worked out on a copy each."""
    results: dict[tuple[str, str], Result] = {}
    for kind in kinds:
        for action in kind.actions:
            key = (kind.state, action.name)
            if key not in results:
                world = copy_world(folder / kind.state, folder / f"expected-{len(results)}")
                _require(action.command(world))
                results[key] = action.result(world)
    return results


def _write_weights(world: Path) -> None:
    encoder = build_encoder("tiny")
    initialise_random(encoder, 5)
    state = {f"image_encoder.{name}": tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    torch.save({"model_state_dict": state, "epoch": 7}, world / "encoder.pth")
    save_file(state, world / "encoder.safetensors")
    for suffix, name in WEIGHTS.items():
        values = yaml.safe_load((world / EXPERIMENT).read_text())
        values["model"]["weights"] = f"encoder.{suffix}"
        (world / name).write_text(yaml.safe_dump(values, sort_keys=False))


def _require(outcome: Outcome) -> None:
    if outcome.code != 0 and "NOT OK" not in outcome.lines:
        raise RuntimeError(f"a command failed on undamaged files ({os.getpid()}): {outcome.lines}")
