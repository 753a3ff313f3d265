"""Flower's private API stands in one file, and goes from there as soon as the public API has it."""

import ast
import importlib
from pathlib import Path

import pytest

pytest.importorskip("flwr.app")

import fedtune3d
from fedtune3d.federation.flower import private_api

PUBLIC = ("flwr.app", "flwr.clientapp", "flwr.serverapp")


def flower_modules(path: Path) -> set[str]:
    """The modules of flwr that a file imports from, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "flwr"}


@pytest.mark.ci
def test_only_one_file_uses_the_private_api() -> None:
    package = Path(fedtune3d.__file__).parent
    private = {path: flower_modules(path) - set(PUBLIC) for path in package.rglob("*.py")}
    users = {path.relative_to(package).as_posix() for path, modules in private.items() if modules}
    assert users == {"federation/flower/private_api.py"}


@pytest.mark.parametrize("name", private_api.__all__)
def test_a_name_goes_when_it_becomes_public(name: str) -> None:
    public = [module for module in PUBLIC if hasattr(importlib.import_module(module), name)]
    assert not public, f"{name} is public now: import it from {public[0]} and take it out of private_api.py"
