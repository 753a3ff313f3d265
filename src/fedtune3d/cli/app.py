"""The command line: the commands by group, and how errors are printed."""

import inspect
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from click import UsageError
from typer.core import TyperGroup

from fedtune3d._utils.errors import InputError, StorageError
from fedtune3d._utils.signals import no_lost_interrupt
from fedtune3d._utils.version import __version__
from fedtune3d.cli import before_a_run, cache, runs, server, site, trained_models, verify, weights
from fedtune3d.cli.shared import err, out


class _Group(TyperGroup):
    """Suggest the command that a mistyped one was meant to be, once; click 8.4 and Typer both add the sentence."""

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            parts = vars(error)
            if parts.get("possibilities"):  # click adds its sentence when it prints; its message is final for mypy
                parts["message"] = re.sub(r" Did you mean [^?]*\?$", "", error.message)
            raise


class _Commands(_Group):
    """Report that a command was stopped; Typer alone would exit silently."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print(STOPPED)
            raise typer.Exit(130) from None


def _one_line_per_paragraph(text: str) -> str:
    """Join the lines of each paragraph; the help would otherwise also break where the source does."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


STOPPED = "stopped; run the same command again to continue"
app = typer.Typer(
    name="fedtune3d",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # of all commands below it, too
    help="Fine-tune a 3D medical foundation model across hospitals; no scan leaves its site.\n\n"
    "Typical order: init (write an experiment file), plan (estimate the cost), prepare (then look at the scans), "
    "check (look for data leaks), run.",
)
for command in (
    before_a_run.init,
    before_a_run.simulate,
    before_a_run.prepare,
    before_a_run.plan,
    before_a_run.check,
    runs.run,
    runs.benchmark,
    runs.report,
    trained_models.export,
    trained_models.predict,
    verify.verify,
):
    app.command()(command)
for name, group in (("server", server), ("site", site), ("weights", weights), ("cache", cache)):
    app.add_typer(group.commands, name=name, cls=_Group)
for commands in (app, server.commands, site.commands, weights.commands, cache.commands):
    for info in commands.registered_commands:
        info.help = _one_line_per_paragraph(inspect.getdoc(info.callback) or "")


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


def _line_of(error: InputError | OSError | MemoryError | RecursionError) -> str:
    """Return the line for an error; for an error of the operating system, with the file and the cause."""
    if isinstance(error, MemoryError):
        return "out of memory; close other programs or lower `training.batch_size`, and run again with --resume"
    if isinstance(error, RecursionError):
        return "the input is nested too deeply to be read; flatten it and run again"
    if isinstance(error, OSError):
        named = isinstance(error.filename, str | Path)
        return str(StorageError(Path(error.filename) if named else Path.cwd(), error))
    return str(error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Bad input and machine faults end in one line and exit code 2, Ctrl-C in exit code 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with no_lost_interrupt():
            app(args=arguments)
    except (InputError, OSError, MemoryError, RecursionError) as error:
        err.print(f"fedtune3d: {_line_of(error)}")
        sys.exit(2)
    except KeyboardInterrupt:
        err.print(STOPPED)
        sys.exit(130)
