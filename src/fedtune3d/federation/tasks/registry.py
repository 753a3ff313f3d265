"""Kinds of task by name: a file in this folder that holds a `KIND` is all it takes to add one."""

import importlib
import pkgutil
from functools import cache

import fedtune3d.federation.tasks as folder
from fedtune3d._utils.errors import InputError
from fedtune3d.federation.privacy.declarations import AnswerDeclaration
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.tasks.kind import TaskKind

NO_KINDS = ("kind", "registry")


@cache
def task_kinds() -> dict[str, TaskKind[SiteData]]:
    """Every kind of task in this folder's modules, by name, sorted.

    Raises:
        TypeError: Where a module holds no `KIND`, its instruction is not named as the module is, or a field of its
            answer does not declare what it reveals.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if module.name not in NO_KINDS)
    return {name: _kind_in(name) for name in names}


def task_kind(name: str) -> TaskKind[SiteData]:
    """The kind of that name. Raises `InputError` where there is none."""
    known = task_kinds()
    if name not in known:
        raise InputError(f"expected a task of {', '.join(known)}, got {name!r}")
    return known[name]


def declared_answer(name: str) -> AnswerDeclaration:
    """What an answer to that kind of task reveals. Raises `InputError` where there is no such kind."""
    return task_kind(name).declaration


def _kind_in(name: str) -> TaskKind[SiteData]:
    module = f"{folder.__name__}.{name}"
    kind = getattr(importlib.import_module(module), "KIND", None)
    if not isinstance(kind, TaskKind):
        raise TypeError(f"{module}: expected a TaskKind under the name KIND")
    if kind.instruction.kind != name:
        raise TypeError(f"{module}: expected an instruction of kind {name!r}, got {kind.instruction.kind!r}")
    _ = kind.declaration  # raises where one is missing
    return kind
