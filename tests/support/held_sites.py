"""Sites for worker processes that do what their name says; importable there, as the modules of tests are not."""

import errno
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from waiting import wait_until

from fedtune3d._utils.errors import DamagedFileError, InputError, StorageError
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.site.local_trainer import ScoredElsewhere
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import Train
from fedtune3d.federation.workers.process import Held
from fedtune3d.federation.workers.shared_score import SharedScore
from fedtune3d.training.dataset import LabelledScan
from fedtune3d.training.faults import SiteFault
from fedtune3d.training.scores import Scores

SCORES = Scores(auc=None, balanced_accuracy=None, loss=0.5, examples=1, why="one class only")


class OwnError(Exception):
    """An error that pickle cannot create again."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{number}: {text}")


def error_of(name: str) -> BaseException | None:
    """What a site of this name raises."""
    full = OSError(errno.ENOSPC, "No space left on device", "cache/features")
    errors: dict[str, BaseException] = {
        "input": InputError("sites.tsv: expected a table"),
        "full-disk": StorageError(Path("cache/features"), full),
        "raw-full-disk": full,
        "damaged": DamagedFileError(Path("memory/round-00001"), "does not match its checksum"),
        "memory": MemoryError(),
        "refusal": Refusal("policy.max_rounds is 2"),
        "fault": SiteFault("loss is NaN in batch 3"),
        "bug": AttributeError("'Head' has no attribute 'wieght'"),
        "own-error": OwnError(7, "seven"),
    }
    return errors.get(name)


@dataclass
class Named:
    """A site that answers with twice the state that it received, unless its name says otherwise.

    Attributes:
        name: What it does.
        folder: Where it writes a line with its process for every task.
    """

    name: str
    folder: Path
    elsewhere: ScoredElsewhere | None = None

    def score(self, task: Task) -> Answer:
        """Write a line with the process, and score."""
        with (self.folder / f"{self.name}-scored").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if self.name == "never":
            time.sleep(3600)
        return Answer(self.name, ScoreAnswer(received=SCORES))

    def _train(self, task: Task) -> Answer:
        """Train for as long as nobody has begun to score what came, if anybody may, or as the name says."""
        if self.name == "after":
            wait_until((self.folder / "helped-scored").exists, "this worker has scored for another before")
        if self.name == "awaiting":
            wait_until((self.folder / "release").exists, "the test has another site's answer")
        if self.elsewhere is not None and self.name in ("helped", "never"):
            wait_until((self.folder / f"{self.name}-scored").exists, "another worker begins to score")
        own = partial(replace, SCORES, why="scored by its own worker")
        received = self.elsewhere.obtain(own) if self.elsewhere else own()
        return Answer(self.name, ScoreAnswer(received=received))

    def answer(self, task: Task) -> Answer:
        """Carry out a task."""
        if isinstance(task.instruction, Train):
            return self._train(task)
        with (self.folder / self.name).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if (error := error_of(self.name)) is not None:
            raise error
        if self.name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.name == "slow":
            _sleep_with_a_partial_file(self.folder / "partial")
        parts = {part: {name: 2 * tensor for name, tensor in state.items()} for part, state in task.parts.items()}
        return Answer(self.name, ScoreAnswer(received=SCORES), parts)

    def encode(self, split: str, scans: Sequence[LabelledScan]) -> object:
        """Write a line per call, with the process and the scans."""
        with (self.folder / f"{self.name}-{split}").open("a") as file:
            file.write(f"{os.getpid()} {' '.join(scan.path.stem for scan in scans)}\n")
        return None


def help_for_ever(result: Path, begun: Path) -> None:
    """Begin to score for another worker, and come to no end."""
    SharedScore(result).help(partial(_score_for_ever, begun))


def _score_for_ever(begun: Path) -> Scores:
    begun.touch()
    time.sleep(3600)
    return SCORES


def _sleep_with_a_partial_file(path: Path) -> None:
    path.touch()
    try:
        for _ in range(3000):
            torch.ones(1).add_(1)
            time.sleep(0.1)
    finally:
        path.unlink()


@dataclass(frozen=True)
class Making:
    """Makes the sites of a worker; notes each time in a file.

    Attributes:
        folder: Where the sites write.
        own: The names of the worker's sites.
        every: The names of all sites.
    """

    folder: Path
    own: tuple[str, ...]
    every: tuple[str, ...]

    def __call__(self) -> Held:
        """Make the sites."""
        with (self.folder / "made").open("a") as file:
            file.write(f"{os.getpid()}\n")
        sites = {name: Named(name, self.folder) for name in self.every}
        folders = [self.folder / "sites" / name for name in self.own]
        return Held({name: sites[name] for name in self.own}, folders, sites)


@dataclass(frozen=True)
class MakingFor:
    """Returns what makes the sites of a worker, by its number."""

    folder: Path
    holders: Mapping[str, int]

    def __call__(self, worker: int) -> Making:
        """Return it."""
        own = tuple(name for name, holder in self.holders.items() if holder == worker)
        return Making(self.folder, own, tuple(self.holders))
