"""The command line called in this process, and what came of it."""

import contextlib
import io
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

from fedtune3d.cli.app import main

CODES = (0, 1, 2)
DRAWN_BY = ((FigureCanvasSVG, "print_svg"), (FigureCanvasAgg, "print_png"))


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: The exit code; None where an exception reached the top, which prints a traceback.
        lines: The last lines of standard error, of standard output where that is empty, or of the traceback.
    """

    code: int | None
    lines: str

    @property
    def clean(self) -> bool:
        """Whether it succeeded or was refused in words."""
        return self.code == 0 or (self.code in CODES and bool(self.lines.strip()) and "Traceback" not in self.lines)


def call(arguments: Sequence[object]) -> Outcome:
    """Run a command of the command line as `fedtune3d ARGUMENTS` would, its output kept from the terminal."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            main([str(argument) for argument in arguments])
            code: int | None = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            return Outcome(None, traceback.format_exc(limit=-6))
    return Outcome(code, (said.getvalue() or printed.getvalue())[-2000:])


def draw_nothing() -> None:
    """Let figures be made but not drawn, in this process: drawing is most of a tiny run's time and reads nothing."""

    def save_nothing(canvas: object, target: object, **options: object) -> None:
        empty = b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'
        if isinstance(target, str | Path):
            Path(target).write_bytes(empty)
        elif isinstance(target, io.StringIO):
            target.write(empty.decode())
        else:
            target.write(empty)  # type: ignore[attr-defined]

    for canvas, method in DRAWN_BY:
        setattr(canvas, method, save_nothing)
