"""The code that runs in a worker, which holds one model and some of the sites, and carries out one call after another.

A worker ends with the process that started it, however that ends: the other end of its lifeline, a pipe, closes then.
"""

import os
import pickle
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from fedtune3d._utils.locks import hold_until_exit
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answer, Answering, Fault, Task
from fedtune3d.federation.site.local_trainer import ScoredElsewhere
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.workers.shared_score import SharedScore
from fedtune3d.federation.workers.spool import Packed, Spool
from fedtune3d.training.dataset import LabelledScan
from fedtune3d.training.scores import Scores

Lifeline: TypeAlias = "Connection[bytes, bytes]"
STOP_SECONDS = 10.0
"""Time that a call has to end once its worker is stopped, so that it leaves no partial file."""
T = TypeVar("T")


class Helped(Protocol):
    """A site that other workers can help."""

    elsewhere: ScoredElsewhere | None

    def encode(self, split: str, scans: Sequence[LabelledScan]) -> object:
        """Encode the scans of a split that are not in the site's cache."""
        ...

    def score(self, task: Task) -> Answer:
        """Score the state that comes with a task."""
        ...


@dataclass(frozen=True)
class Held:
    """The sites in a worker.

    Attributes:
        answering: Site → what answers for it, for the sites of this worker.
        folders: The folders of these sites, which this worker alone writes to.
        helped: All sites: every worker encodes scans of any, and scores states that any has received.
    """

    answering: Mapping[str, Answering]
    folders: Sequence[Path]
    helped: Mapping[str, Helped]


@dataclass
class _Worker:
    """The state of this process.

    Attributes:
        make: Makes the sites.
        spool: Where answers are written.
        held: The sites, once they are made.
        at_work: Held during a call.
        in_call: Whether a call is being carried out.
        stopped: Set when the lifeline is cut.
    """

    make: Callable[[], Held]
    spool: Spool
    held: tuple[Held, InProcess] | None = None
    at_work: threading.Lock = field(default_factory=threading.Lock)
    in_call: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)

    def sites(self) -> tuple[Held, InProcess]:
        """Return the sites, made by the first call, whose errors reach the caller as any other's do."""
        if self.held is None:
            held = self.make()
            for folder in held.folders:
                hold_until_exit(folder)
            self.held = held, InProcess(held.answering)
        return self.held


_worker: _Worker | None = None


def begin(lifeline: Lifeline, make: Callable[[], Held], spool: Spool) -> None:
    """Initialise a worker.

    Args:
        lifeline: A pipe's end from which nothing is ever read but the end of the other process.
        make: Makes the sites; called with the first call.
        spool: Where answers are written.
    """
    global _worker
    _worker = _Worker(make, spool)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the process that asks
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with, args=(lifeline, _worker), daemon=True).start()


def call(job: Callable[[], T]) -> T:
    """Carry out a call. An error that cannot be pickled is raised as a `RuntimeError` with its traceback."""
    worker = _this()
    try:
        with worker.at_work:
            worker.in_call = True
            try:
                return job()
            finally:
                worker.in_call = False
    except KeyboardInterrupt:
        if not worker.stopped.is_set():
            os._exit(1)  # somebody ended this process alone
        threading.Event().wait()  # the thread that watches the lifeline ends this process
        raise
    except Exception as error:
        if not _can_be_sent(error):
            raise RuntimeError("".join(traceback.format_exception(error))) from None
        raise


def begun() -> None:
    """Do nothing; the first call, with which an executor starts its process."""


def answer(site: str, packed: Packed[Task], shared: SharedScore | None = None) -> Packed[Answer] | Fault:
    """Have a site of this worker carry out a task; as `InProcess.ask`.

    Args:
        site: The site.
        packed: The task.
        shared: The score of the received state, which another worker may compute.
    """
    worker = _this()
    held, federation = worker.sites()
    if shared is not None:
        held.helped[site].elsewhere = shared
    try:
        (reply,) = federation.ask({site: packed.open()})
    finally:
        if shared is not None:
            held.helped[site].elsewhere = None
    return reply if isinstance(reply, Fault) else worker.spool.pack(reply)


def help_score(site: str, packed: Packed[Task], shared: SharedScore) -> None:
    """Score the state that a site of another worker has received, if that worker has not come to it yet."""
    held, _ = _this().sites()

    def compute() -> Scores:
        received = held.helped[site].score(packed.open()).expect(ScoreAnswer).received
        assert received is not None  # only a gate withholds scores
        return received

    with suppress(Exception):  # the site's own worker then scores it, and says what is wrong
        shared.help(compute)


def encode(site: str, split: str, scans: Sequence[LabelledScan]) -> int:
    """Encode scans of any site; returns their number."""
    held, _ = _this().sites()
    held.helped[site].encode(split, scans)
    return len(scans)


def _this() -> _Worker:
    assert _worker is not None  # `begin` is the initialiser of every worker
    return _worker


def _can_be_sent(error: Exception) -> bool:
    try:
        return isinstance(pickle.loads(pickle.dumps(error)), type(error))
    except Exception:
        return False


def _interrupt(number: int, frame: object) -> None:
    """Interrupt a call, so that it removes its partial files; between calls there is nothing to interrupt."""
    if _this().in_call:
        raise KeyboardInterrupt


def _end_with(lifeline: Lifeline, worker: _Worker) -> None:
    """Wait until the other process has ended or wants this one to; then end, after the call that is carried out."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    worker.stopped.set()
    if not worker.at_work.acquire(blocking=False):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        worker.at_work.acquire(timeout=STOP_SECONDS)
    shutil.rmtree(worker.spool.folder, ignore_errors=True)
    os._exit(1)
