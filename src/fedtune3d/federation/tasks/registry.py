"""Registry of the kinds of task: adding a file with a `KIND` to this folder registers it."""

import importlib
import pkgutil
from functools import cache

import fedtune3d.federation.tasks as folder
from fedtune3d._utils.errors import InputError
from fedtune3d.federation.privacy.declarations import AnswerDeclaration
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.tasks.kind import TaskKind

NOT_KINDS = ("kind", "registry")


@cache
def task_kinds() -> dict[str, TaskKind[SiteData]]:
    """Return every kind of task in this folder, sorted by name.

    Raises:
        TypeError: If a module has no `KIND`, its instruction's name differs from the module's, or a field of its answer
            does not declare what it reveals.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if module.name not in NOT_KINDS)
    return {name: _kind_in(name) for name in names}


def task_kind(name: str) -> TaskKind[SiteData]:
    """Return the kind of task with that name. Raises `InputError` if there is none."""
    known = task_kinds()
    if name not in known:
        raise InputError(f"expected a task of kind {', '.join(known)}, got {name!r}")
    return known[name]


def declared_answer(name: str) -> AnswerDeclaration:
    """Return what the answers to that kind of task reveal. Raises `InputError` if there is no such kind."""
    return task_kind(name).declaration


def _kind_in(name: str) -> TaskKind[SiteData]:
    module = f"{folder.__name__}.{name}"
    kind = getattr(importlib.import_module(module), "KIND", None)
    if not isinstance(kind, TaskKind):
        raise TypeError(f"{module}: expected a TaskKind under the name KIND")
    if kind.instruction.kind != name:
        raise TypeError(f"{module}: expected an instruction of kind {name!r}, got {kind.instruction.kind!r}")
    _ = kind.declaration  # raises if one is missing
    return kind
