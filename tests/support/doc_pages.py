"""The pages of the documentation, and a reader who does what a page says from top to bottom.

A block of code with a title that is a path is written to that file; a block of shell or Python without is run, in the
folder of the page. A block of text after it shows what is printed: each of its lines must be there, in this order, and
``…`` stands for any text. Shell with a title that begins with ``Terminal`` runs until the end of the page, and the text
after it is waited for. A comment above a block says what is special about it: ``<!-- not run: why -->``, or
``<!-- exit code 2 -->``.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from waiting import wait_until

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(
    r"(?:^<!-- (?P<remark>.*?) -->\n)?^```(?P<language>\w+)(?: +title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
SHELL = ("sh", "bash")
SECONDS = 900
PORT = "9092"
"""The port in the pages, in whose place a free one is used."""


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Attributes:
        language: ``sh``, ``python``, ``yaml``, ``text``, …
        text: What stands in it.
        title: Its title: a path, or the name of a terminal; empty if it has none.
        remark: The comment above it; empty if there is none.
        line: The line of the page where it begins.
    """

    language: str
    text: str
    title: str
    remark: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the blocks of code of a page that begin in its first column."""
    text = page.read_text()
    return [
        Block(
            found["language"],
            found["text"],
            found["title"] or "",
            found["remark"] or "",
            text[: found.start("language")].count("\n") + 1,
        )
        for found in FENCE.finditer(text)
    ]


@dataclass
class Reader:
    """Somebody at a terminal in a folder, who does what a page says.

    Attributes:
        folder: Where everything is run and written.
        package: The folder from which fedtune3d is imported.
        output: What the last command printed.
        watched: The terminal that was opened last, until another command is run.
        open_terminals: The terminals that are closed at the end of the page.
        port: A free port.
    """

    folder: Path
    package: Path = ROOT / "src"
    output: str = ""
    watched: "Terminal | None" = None
    open_terminals: list["Terminal"] = field(default_factory=list)
    port: str = field(default_factory=lambda: str(free_port()))

    def follow(self, page: Path) -> int:
        """Do what a page says, and return the number of blocks that were run or written.

        Raises:
            AssertionError: If a command ends with another exit code, or prints something else than the page shows.
        """
        done = 0
        try:
            for block in blocks(page):
                done += self._do(block, f"{page.name}:{block.line}")
        finally:
            for terminal in reversed(self.open_terminals):
                terminal.close()
            self.open_terminals.clear()
        return done

    def _do(self, block: Block, where: str) -> bool:
        text = block.text.replace(PORT, self.port)
        if block.remark.startswith("not run: "):
            return False
        if block.language == "text":
            self._compare(text, where)
        elif block.title.startswith("Terminal"):
            log = self.folder / f".terminal-{len(self.open_terminals)}"
            self.watched = Terminal(text, self.folder, self._environment(), log)
            self.open_terminals.append(self.watched)
        elif block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif block.language in (*SHELL, "python"):
            words = [sys.executable, "-c"] if block.language == "python" else ["bash", "-eu", "-c"]
            self._run([*words, text], block, where)
        else:
            return False
        return True

    def _run(self, words: list[str], block: Block, where: str) -> None:
        found = re.fullmatch(r"exit code (\d+)", block.remark)
        ended = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        self.output, self.watched = ended.stdout, None
        expected = int(found[1]) if found else 0
        assert ended.returncode == expected, f"{where}: exit code {ended.returncode}\n{ended.stdout[-4000:]}"

    def _compare(self, text: str, where: str) -> None:
        if (terminal := self.watched) is not None:

            def shown_or_ended() -> bool:
                return first_missing(text, terminal.output()) is None or terminal.process.poll() is not None

            wait_until(shown_or_ended, f"what {where} shows", SECONDS)
            self.output = terminal.output()
        missing = first_missing(text, self.output)
        assert missing is None, f"{where}: not printed: {missing}\n{self.output[-4000:]}"

    def _environment(self) -> dict[str, str]:
        """The environment of a terminal in which `fedtune3d` is the one of this checkout, or of a copy of it."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        changes = {"PATH": path, "PYTHONPATH": str(self.package), "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **changes}


class Terminal:
    """A command that runs until the reader closes its terminal."""

    def __init__(self, text: str, folder: Path, environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                ["bash", "-eu", "-c", text],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """Return what was printed so far."""
        return self.log.read_text()

    def close(self) -> None:
        """End the command and whatever it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=60)


def first_missing(expected: str, printed: str) -> str | None:
    """Return the first expected line that was not printed after the ones before it; None if all were.

    Runs of spaces count as one, and ``…`` stands for any text within a line.
    """
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in expected.splitlines():
        wanted = " ".join(line.split())
        pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
        if wanted not in ("", "…") and not any(re.fullmatch(pattern, candidate) for candidate in lines):
            return line
    return None


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pages() -> Iterator[Path]:
    """Yield every page of the documentation, the README first."""
    yield ROOT / "README.md"
    yield from sorted(DOCS.rglob("*.md"))
