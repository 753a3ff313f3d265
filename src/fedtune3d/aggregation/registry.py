"""Registry of the aggregation rules: adding a file to this folder registers its rule."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import TypeGuard

import fedtune3d.aggregation as folder
from fedtune3d._utils.errors import InputError
from fedtune3d._utils.json_values import JsonLike
from fedtune3d._utils.names import unknown_name
from fedtune3d.aggregation.contract import Rule
from fedtune3d.aggregation.site_step import SiteStep


def rules() -> dict[str, type[Rule]]:
    """Return every rule in this folder's modules, sorted by name.

    Raises:
        TypeError: If a rule is not a frozen dataclass, or two rules have the same name.
    """
    rules_by_name: dict[str, type[Rule]] = {}
    for module_name in sorted(module.name for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}.")):
        for value in vars(importlib.import_module(module_name)).values():
            if not _is_rule_of(value, module_name):
                continue
            if "__dataclass_fields__" not in vars(value):
                raise TypeError(f"{module_name}.{value.__name__}: expected @dataclass(frozen=True) above the class")
            if value.name in rules_by_name:
                raise TypeError(
                    f"{module_name}.{value.__name__}: the name {value.name!r} is taken by {rules_by_name[value.name]}"
                )
            rules_by_name[value.name] = value
    return dict(sorted(rules_by_name.items()))


def build_rule(name: str, options: Mapping[str, JsonLike] | None = None) -> Rule:
    """Create the rule of that name with the given options; others have their defaults.

    Raises:
        InputError: If a name or option does not exist (with the closest match), or a value is out of range.
    """
    known = rules()
    if name not in known:
        raise InputError(unknown_name("rule", name, known))
    fields = [field.name for field in dataclasses.fields(known[name]) if field.init]  # type: ignore[arg-type]
    for option in options or {}:
        if option not in fields:
            problem = unknown_name("option", option, fields) if fields else f"{option!r}: this rule has no options"
            raise InputError(f"rule {name}: {problem}")
    return known[name](**(options or {}))


def rule_title(name: str) -> str:
    """Return the name of a rule's class, which is the paper's, with what in it is ours; `name` if it is not installed.

    >>> rule_title("fedavg"), rule_title("rate_my_lora")
    ('FedAvg', 'RateMyLoRA (rating: ours)')
    """
    rule = rules().get(name)
    if rule is None:
        return name
    return f"{rule.__name__} ({rule.ours})" if rule.ours else rule.__name__


def step_type_of(name: str) -> type[SiteStep]:
    """Return the class of a rule's site step, among the rules installed here.

    Raises:
        InputError: If no rule of that name is installed.
    """
    known = rules()
    if name not in known:
        raise InputError(unknown_name("rule", name, known))
    return known[name].step_type


def _is_rule_of(value: object, module_name: str) -> TypeGuard[type[Rule]]:
    """Return whether `value` is a rule defined in the module, and not imported, a base class or a wrapper."""
    if not isinstance(value, type) or not issubclass(value, Rule) or value.__module__ != module_name:
        return False
    return isinstance(vars(value).get("name"), str)
