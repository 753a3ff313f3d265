"""Commands in messages can be typed as they stand, however the program was called."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer

from fedtune3d.cli.app import app
from fedtune3d.cli.console import PlainConsole
from fedtune3d.cli.program import COMMANDS, callable_here, program


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The program in an environment that is not on the PATH, called by its path."""
    path = tmp_path / "my env" / "bin" / "fedtune3d"
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setattr(sys, "argv", [str(path), "run"])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return f"'{path}'"


def test_all_commands_are_known() -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, click.Group)
    assert set(COMMANDS) == set(command.commands)


def test_a_bare_name_on_the_path_is_kept(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program() == called
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert program() == "fedtune3d"


def test_only_commands_are_replaced(called: str) -> None:
    assert callable_here("Next: fedtune3d run a.yaml") == f"Next: {called} run a.yaml"
    assert callable_here("run `fedtune3d site key` there") == f"run `{called} site key` there"
    for text in ("fedtune3d: no file", "is it a server of fedtune3d?", "/data/fedtune3d run", "fedtune3d needs Python"):
        assert callable_here(text) == text.replace("fedtune3d server", f"{called} server")


def test_a_program_of_another_name_is_not_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
    assert program() == "fedtune3d"


def test_a_printed_line_suggests_what_can_be_called(called: str) -> None:
    console = PlainConsole(soft_wrap=True)
    with console.capture() as captured:
        console.print("stopped; continue with: fedtune3d run a.yaml --resume")
    assert captured.get() == f"stopped; continue with: {called} run a.yaml --resume\n"


@pytest.mark.ci
def test_a_module_suggests_itself(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": str(tmp_path)}
    words = [sys.executable, "-m", "fedtune3d", "plan", "nothing.yaml"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert f"`{sys.executable} -m fedtune3d init` writes one" in done.stderr
