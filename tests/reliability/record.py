"""What a program has found so far, kept case by case, so that one that was stopped continues where it was."""

import json
import multiprocessing.forkserver
import subprocess
import threading
import time
from pathlib import Path

import psutil

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
        **settings: Of the program; cases under others, or of another commit, do not count.

    Raises:
        SystemExit: If the file holds cases under other settings.
    """

    def __init__(self, path: Path | None, **settings: object) -> None:
        self.path = path
        self.began = time.monotonic(), cpu_seconds()
        self.cases: dict[str, object] = {}
        self.seconds = self.cpu_seconds = 0.0
        self.lock = threading.Lock()
        head = {"commit": commit(), **settings}
        if path is None:
            return
        if not path.exists():
            path.write_text(json.dumps(head) + "\n")
            return
        first, *lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        if first != head:
            raise SystemExit(f"{path}: holds cases of {first}, not of {head}; give another file")
        for line in lines:
            self.cases[line["case"]] = line["result"]
            self.seconds, self.cpu_seconds = line["seconds"], line["cpu_seconds"]

    def add(self, case: str, result: object) -> None:
        """Keep a case, a value in JSON."""
        with self.lock:
            self.cases[case] = result
            if self.path is not None:
                line = {"case": case, "result": result, "seconds": self.wall(), "cpu_seconds": self.cpu()}
                with self.path.open("a") as file:
                    file.write(json.dumps(line) + "\n")

    def cost(self) -> dict[str, object]:
        """The commit, and what all cases took, in whole seconds."""
        return {"commit": commit(), "seconds": round(self.wall()), "cpu_seconds": round(self.cpu())}

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
