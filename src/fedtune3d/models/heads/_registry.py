"""Heads by name: every module in this folder without a leading underscore is a head."""

import importlib
import inspect
import pkgutil
import re
from types import ModuleType

from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.names import unknown_name
from fedtune3d._utils.seeds import global_draws_from
from fedtune3d.models import heads


def head_names() -> tuple[str, ...]:
    """The names of all heads, sorted: the files in this folder."""
    modules = [module.name for module in pkgutil.iter_modules(heads.__path__)]
    return tuple(sorted(name for name in modules if not name.startswith("_")))


def head_title(name: str) -> str:
    """The title of a head: the first line of its module's docstring, up to the first comma, colon or full stop.

    Raises:
        InputError: If there is no such head, or its module has no docstring.
    """
    documentation = inspect.getdoc(_module(name))
    if not documentation:
        raise InputError(
            f"head {name}: expected a docstring at the top of its module, got none; its first line is the title"
        )
    return re.split("[,:.]", documentation.splitlines()[0])[0]


def build_head(name: str, in_channels: int, seed: int = 0, outputs: int = 2) -> nn.Module:
    """Build a head on the CPU: features (B, in_channels, D, H, W) → outputs (B, outputs), such as a logit per class.

    Args:
        name: One of `head_names()`, a file of this folder with a function ``build(in_channels, outputs) -> nn.Module``.
        in_channels: Channels of the encoder's features.
        seed: The initial weights depend only on seed, name and sizes; the global random state is not changed.
        outputs: Outputs per scan (`Outcome.width`); of two, the second is the logit of the positive class.

    Raises:
        InputError: If there is no such head.
    """
    module = _module(name)
    with global_draws_from("head", name, seed):
        head: nn.Module = module.build(in_channels, outputs)
    return head


def min_positions(name: str) -> int:
    """Return the fewest positions per axis of a feature map for a head: its module's `MIN_POSITIONS`, else 1.

    A head without a module, such as the nearest class centre, needs 1.
    """
    return int(getattr(_module(name), "MIN_POSITIONS", 1)) if name in head_names() else 1


def _module(name: str) -> ModuleType:
    names = head_names()
    if name not in names:
        raise InputError(f"{unknown_name('head', name, names)}; docs/heads.md says how to add one")
    return importlib.import_module(f"{heads.__name__}.{name}")
