"""What a program has found so far, kept case by case, so that one that was stopped continues where it was."""

import json
import multiprocessing.forkserver
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

GO_ON = "let cases of other commits count, too, and repeat those that failed there"
ROOT = Path(__file__).resolve().parent.parent.parent


def commit() -> str:
    """The commit of this checkout, and whether it was changed since; ``unknown`` outside of Git."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    result = subprocess.run(words, capture_output=True, text=True)
    return result.stdout.strip() or "unknown"


class Record:
    """Cases by their names, in a file of JSON lines where one is given, else in memory alone.

    Args:
        path: The file; cases in it are not repeated.
        go_on: Whether cases of other commits count, too, but for those that failed there, which are repeated.
        failed: Whether a case's result is a failure.
        **settings: Of the program.

    Raises:
        SystemExit: If the file holds cases under other settings, or, unless `go_on`, of another commit.
    """

    def __init__(
        self,
        path: Path | None,
        go_on: bool = False,
        failed: Callable[[object], bool] = lambda result: False,
        **settings: object,
    ) -> None:
        self.path = path
        self.began = time.monotonic(), cpu_seconds()
        self.cases: dict[str, object] = {}
        self.commits: dict[str, str] = {}
        self.seconds = self.cpu_seconds = 0.0
        self.lock = threading.Lock()
        self.commit = commit()
        head = {"commit": self.commit, **settings}
        if path is None:
            return
        if not path.exists():
            path.write_text(json.dumps(head) + "\n")
            return
        last = self._read(path, failed)
        if last != head:
            if not go_on or {**last, "commit": self.commit} != head:
                raise SystemExit(f"{path}: holds cases of {last}, not of {head}; give another file")
            with path.open("a") as file:
                file.write(json.dumps(head) + "\n")

    def _read(self, path: Path, failed: Callable[[object], bool]) -> dict[str, object]:
        """Take over the cases. Returns the last head."""
        last: dict[str, object] = {}
        for line in map(json.loads, path.read_text().split("\n")[:-1]):
            if "commit" in line:
                last = line
                continue
            self.seconds, self.cpu_seconds = line["seconds"], line["cpu_seconds"]
            if last["commit"] == self.commit or not failed(line["result"]):
                self.cases[line["case"]] = line["result"]
                self.commits[line["case"]] = str(last["commit"])
        return last

    def add(self, case: str, result: object) -> None:
        """Keep a case, a value in JSON."""
        with self.lock:
            self.cases[case] = result
            self.commits[case] = self.commit
            if self.path is not None:
                line = {"case": case, "result": result, "seconds": self.wall(), "cpu_seconds": self.cpu()}
                with self.path.open("a") as file:
                    file.write(json.dumps(line) + "\n")

    def cost(self) -> dict[str, object]:
        """The commits whose cases count, and what all cases took, in whole seconds."""
        commits = ", ".join(dict.fromkeys(self.commits.values())) or self.commit
        return {"commit": commits, "seconds": round(self.wall()), "cpu_seconds": round(self.cpu())}

    def wall(self) -> float:
        """Seconds that all cases took, those of earlier processes included."""
        return self.seconds + time.monotonic() - self.began[0]

    def cpu(self) -> float:
        """Seconds of a processor that all cases took; those of a worker count once it has ended."""
        return self.cpu_seconds + cpu_seconds() - self.began[1]


def cpu_seconds() -> float:
    """Seconds of a processor that this process and those below it have taken, running or not."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if server is not None and all(process.pid != server for process in processes):
        processes.append(psutil.Process(server))
    total = 0.0
    for process in processes:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
