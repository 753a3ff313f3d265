"""The reference of the command line, made from the commands themselves."""

import inspect
from collections.abc import Iterator

import click
import typer

from fedtune3d.cli.app import app


def command_line_reference() -> str:
    """Return one section per command as Markdown: usage, explanation, arguments and options."""
    root = typer.main.get_command(app)
    return "\n\n".join(part for context in contexts(root) for part in _section(context))


def contexts(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the context of a command and of all commands below it."""
    context = click.Context(command, info_name=command.name, parent=parent)
    yield context
    for below in getattr(command, "commands", {}).values():
        yield from contexts(below, context)


def _section(context: click.Context) -> Iterator[str]:
    command = context.command
    is_group = isinstance(command, click.Group)
    depth = "##" if is_group or context.parent is None or context.parent.parent is None else "###"
    yield f"{depth} `{context.command_path}`"
    if not is_group:
        yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"
    yield inspect.cleandoc(command.help or "").replace("\\[", "[")
    if not is_group and (rows := [record for name in command.params if (record := name.get_help_record(context))]):
        yield "\n".join(["| Argument or option | Meaning |", "| --- | --- |", *(_row(*row) for row in rows)])


def _row(name: str, meaning: str) -> str:
    text = " ".join(meaning.split()).replace("|", "\\|").replace("\\[", "[")
    return f"| `{name.strip()}` | {text} |"
