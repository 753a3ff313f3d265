"""How this program was called, for the commands that its messages suggest."""

import re
import shutil
import sys
from pathlib import Path
from shlex import quote

NAME = "fedtune3d"
COMMANDS = (
    "init",
    "simulate",
    "prepare",
    "plan",
    "check",
    "run",
    "benchmark",
    "report",
    "export",
    "predict",
    "verify",
    "server",
    "site",
    "weights",
    "cache",
)
_SUGGESTED = re.compile(rf"(?<![^\s`(]){NAME}(?= (?:{'|'.join(COMMANDS)})\b)")


def program() -> str:
    """Return the words that start this program again in a shell: its bare name if the PATH has it.

    Otherwise these are the path it was called by, such as ``.venv/bin/fedtune3d``, or ``… -m fedtune3d``.
    """
    called = Path(sys.argv[0])
    if shutil.which(NAME) is not None:
        return NAME
    if called.name == "__main__.py":
        return f"{quote(sys.executable)} -m {NAME}"
    return quote(sys.argv[0]) if called.stem == NAME and called.exists() else NAME


def callable_here(text: str) -> str:
    """Replace `fedtune3d` where it begins a command in a message, such as ``fedtune3d run``, by `program`."""
    return _SUGGESTED.sub(lambda _: program(), text)
