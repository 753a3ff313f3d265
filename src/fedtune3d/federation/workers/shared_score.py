"""The score of a state that a site received, computed by whichever worker is free first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import remove_file, storage_errors
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.training.scores import Scores

POLL_SECONDS = 0.001


@dataclass(frozen=True)
class SharedScore:
    """A score that two workers may compute, of which one does.

    It is the same whoever computes it, as all workers have the same model and the same number of threads. The lock of a
    killed worker is free, and without a result the site's own worker computes the score.

    Attributes:
        result: The file of a helper's result, empty if the site's own worker has it; the lock is beside it.
    """

    result: Path

    def obtain(self, compute: Callable[[], Scores]) -> Scores:
        """Return the scores, for the worker that holds the site: those of a helper if it has begun, else its own."""
        with self._lock.acquire(poll_interval=POLL_SECONDS):
            found = self._found() or compute()
            with storage_errors(self.result):
                self.result.touch()  # nothing is left for a helper
            return found

    def help(self, compute: Callable[[], Scores]) -> None:
        """Compute the scores for another worker, unless it has them or is about to."""
        try:
            with self._lock.acquire(blocking=False):
                if not self.result.exists():
                    write_typed(self.result, compute())
        except Timeout:
            pass

    def discard(self) -> None:
        """Delete the files."""
        for path in (self.result, Path(self._lock.lock_file)):
            remove_file(path)

    def _found(self) -> Scores | None:
        try:
            return read_typed(Scores, self.result, "") if self.result.exists() else None
        except InputError:  # damaged, and computed again
            return None

    @property
    def _lock(self) -> FileLock:
        return FileLock(self.result.with_suffix(".lock"))
