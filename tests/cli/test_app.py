"""What every command explains, and the one line in which a fault of the machine ends."""

import errno
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from command_line import call

from fedtune3d._utils.version import __version__
from fedtune3d.cli.app import app

HELP = {
    "init": "One BIDS or CAPS folder",
    "simulate": "Folder to write the simulated sites to",
    "prepare": "An experiment file",
    "run": "An experiment file",
    "report": "Folder of a run, a study or a cross-validation",
}


@pytest.mark.parametrize("command", HELP)
def test_every_command_explains_what_it_takes(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    assert HELP[command] in " ".join(out.replace("│", " ").split())


def commands(group: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of a command and of all commands below it."""
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


@pytest.mark.parametrize(
    "words", list(commands(typer.main.get_command(app))), ids=lambda words: " ".join(words) or "fedtune3d"
)
def test_every_command_helps_under_either_name(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, short, _ = call(capsys, *words, "-h")
    assert (code, short, "") == call(capsys, *words, "--help")
    assert re.search(rf"Usage: .*{' '.join(words)}", short)
    assert re.search(r"--help +-h ", short)


def test_no_paragraph_of_a_help_is_broken_where_the_source_is() -> None:
    def below(command: click.Command) -> Iterator[click.Command]:
        yield command
        for inner in getattr(command, "commands", {}).values():
            yield from below(inner)

    texts = {command.name: command.help or "" for command in below(typer.main.get_command(app))}
    assert [name for name, text in texts.items() if re.search(r"(?<!\n)\n(?!\n)", text)] == []
    assert len(texts) > 30


def test_help_and_version_import_no_heavy_package() -> None:
    """Of all commands in turn, in a process of their own."""
    code = """
import json, sys
from fedtune3d.cli.app import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as ended:
        assert not ended.code, words
print({"torch", "numpy", "scipy", "matplotlib", "nibabel", "SimpleITK", "pydantic", "flwr"} & set(sys.modules))
"""
    every = [["--version"], *([*words, "-h"] for words in commands(typer.main.get_command(app)))]
    done = subprocess.run([sys.executable, "-c", code, json.dumps(every)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{__version__}\n")
    assert done.stdout.count("Usage:") == len(every) - 1
    assert done.stdout.splitlines()[-1] == "set()"


FAULTS = {
    OSError(errno.ENOSPC, "No space left on device", "/full/run/metrics.json"): (
        "fedtune3d: /full/run/metrics.json: No space left on device; free some space and run again with --resume\n"
    ),
    MemoryError(): (
        "fedtune3d: out of memory; close other programs or lower `training.batch_size`, and run again with --resume\n"
    ),
    RecursionError(): "fedtune3d: the input is nested too deeply to be read; flatten it and run again\n",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_the_machine_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: Exception
) -> None:
    def fail(path: Path) -> None:
        raise fault

    monkeypatch.setattr("fedtune3d.config.study.is_study", fail)
    assert call(capsys, "run", tmp_path / "experiment.yaml") == (2, "", FAULTS[fault])


def test_stopping_a_command_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fedtune3d.config.study.is_study", stop)
    assert call(capsys, "check", tmp_path / "a.yaml") == (130, "", "stopped; run the same command again to continue\n")


@pytest.mark.parametrize("words", [("chek",), ("site", "chek")])
def test_a_mistyped_command_is_suggested_once(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, _, said = call(capsys, *words)
    assert code == 2
    assert said.count("'check'") == 1


def test_a_folder_in_place_of_an_experiment_file_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = f"fedtune3d: {tmp_path}: expected a YAML file, found a folder; name the file in it\n"
    assert call(capsys, "plan", tmp_path) == (2, "", said)
