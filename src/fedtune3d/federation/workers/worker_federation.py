"""All sites on this machine, in several processes: the same answers as `InProcess`, as they come."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fedtune3d._utils.errors import MachineError
from fedtune3d._utils.progress import Advance
from fedtune3d.federation.messages import Answer, Fault, Task
from fedtune3d.federation.site.local_trainer import can_be_scored_elsewhere
from fedtune3d.federation.workers import process
from fedtune3d.federation.workers.assignment import last_sites
from fedtune3d.federation.workers.pool import WorkerPool
from fedtune3d.federation.workers.shared_score import SharedScore
from fedtune3d.federation.workers.spool import Packed, SpooledState
from fedtune3d.training.dataset import LabelledScan

MAX_SCANS_PER_CALL = 16
"""Scans that a worker encodes in one call: few enough for the progress to be seen and the load to be even."""
T = TypeVar("T")


@dataclass(frozen=True)
class Unencoded:
    """Scans of a site's split whose features are not in the cache."""

    site: str
    split: str
    scans: Sequence[LabelledScan]

    def cut(self, size: int) -> "list[Unencoded]":
        """Cut the scans into pieces of at most `size`."""
        starts = range(0, len(self.scans), size)
        return [Unencoded(self.site, self.split, self.scans[start : start + size]) for start in starts]


class WorkerFederation:
    """Reach sites that are held by workers.

    Each worker answers for its own sites, one after another in the order of their names; the workers work at once. One
    that is done before another scores the state that the other's last site received, if nobody has begun to: cores are
    never equally fast. A worker whose sites have far fewer scans does so before its own last site (`helped_before`).

    Faults and errors are those of `InProcess`: of several errors, the first site's is raised, as if the sites had been
    called in turn.

    Args:
        pool: The workers.
        holders: Site → the number of its worker.
        helped_before: A worker's last site → the last site of another worker whose received state it scores before.
    """

    def __init__(self, pool: WorkerPool, holders: Mapping[str, int], helped_before: Mapping[str, str] = {}) -> None:
        self._pool = pool
        self._holders = dict(sorted(holders.items()))
        self._helped_before = helped_before

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        return tuple(self._holders)

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Yield one answer or fault per site, as they come."""
        files: dict[int, SpooledState] = {}
        shared = self._shared_scores(tasks)
        asked: dict[str, Future[Packed[Answer] | Fault]] = {}
        helpers: list[Future[None]] = []
        try:
            packed = {site: self._pool.spool.pack(task, files) for site, task in sorted(tasks.items())}
            help_with = {site: partial(process.help_score, site, packed[site], score) for site, score in shared.items()}
            for site, task in packed.items():
                worker, first = self._holders[site], self._helped_before.get(site)
                if site in help_with and first in help_with:
                    helpers.append(self._submit(worker, help_with[first]))
                asked[site] = self._submit(worker, partial(process.answer, site, task, shared.get(site)))
            for site, job in help_with.items():
                others = {self._holders[other] for other in help_with} - {self._holders[site]}
                helpers += [self._submit(worker, job) for worker in others]
            yield from self._received_as_they_come(asked)
            for helper in helpers:  # which have nothing left to do, and see that only while the files exist
                with suppress(BrokenProcessPool):  # the next task for that worker says so
                    helper.result()
        finally:
            for file in files.values():
                file.path.unlink(missing_ok=True)
            for score in shared.values():
                score.discard()

    def _shared_scores(self, tasks: Mapping[str, Task]) -> dict[str, SharedScore]:
        """Return, for the last site of each worker if it trains, what the others may compute."""
        training = [
            site for site in last_sites(self._holders) if site in tasks and can_be_scored_elsewhere(tasks[site])
        ]
        return {site: SharedScore(self._pool.spool.new_file(".json")) for site in training if len(training) > 1}

    def _received_as_they_come(self, asked: Mapping[str, "Future[Packed[Answer] | Fault]"]) -> Iterator[Answer | Fault]:
        """Open each reply when it is there, while other sites train; of several errors, raise the first site's."""
        names = {future: site for site, future in asked.items()}
        for future in as_completed(names):
            if future.exception() is not None:
                for site in sorted(asked):
                    self._result(self._holders[site], asked[site])
            yield self._received(names[future], future)

    def _received(self, site: str, future: "Future[Packed[Answer] | Fault]") -> Answer | Fault:
        reply = self._result(self._holders[site], future)
        if isinstance(reply, Fault):
            return reply
        try:
            return reply.open()
        finally:
            reply.discard()

    def encode(self, parts: Sequence[Unencoded], advance: Advance) -> None:
        """Have all workers encode scans, whichever site they are of.

        Args:
            parts: The scans.
            advance: Called with (scans encoded, total scans).
        """
        scans = sum(len(part.scans) for part in parts)
        size = max(1, min(MAX_SCANS_PER_CALL, -(-scans // self._pool.count)))
        pieces = [piece for part in parts for piece in part.cut(size)]
        futures = [
            self._submit(number % self._pool.count, partial(process.encode, piece.site, piece.split, piece.scans))
            for number, piece in enumerate(pieces)
        ]
        done = 0
        for number, future in enumerate(futures):
            done += self._result(number % self._pool.count, future)
            advance(done, scans)

    def _submit(self, worker: int, job: Callable[[], T]) -> "Future[T]":
        try:
            return self._pool.submit(worker, job)
        except BrokenProcessPool:
            raise self._killed(worker) from None

    def _result(self, worker: int, future: "Future[T]") -> T:
        try:
            return future.result()
        except BrokenProcessPool:
            raise self._killed(worker) from None

    def _killed(self, worker: int) -> MachineError:
        sites = ", ".join(site for site, holder in self._holders.items() if holder == worker)
        return MachineError(
            f"the worker of {sites or 'no site'} was killed, perhaps because memory ran out; lower `workers` or "
            "`training.batch_size`, and run again with --resume"
        )
