"""The reference of all keys of the YAML files, made from the types that validate them."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator

import yaml
from pydantic import BaseModel, TypeAdapter

from fedtune3d._utils.ranges import describe_type
from fedtune3d._utils.strict import StrictModel, sections_in
from fedtune3d.aggregation.registry import rule_title, rules
from fedtune3d.config.experiment import Experiment, ExperimentKeys
from fedtune3d.config.study import Study
from fedtune3d.federation.flower.server_folder import ServerSettings
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.preparation.atlas import FREESURFER_REGIONS

LONG = 60
"""Characters of a default beyond which it is not printed."""


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a YAML file, as Markdown.

    Attributes:
        name: The key.
        values: Type and range.
        default: The default as YAML; ``required`` if there is none.
        meaning: One sentence or more; empty if the docstring of the type says nothing.
    """

    name: str
    values: str
    default: str
    meaning: str


def keys_of(section: type) -> list[Key]:
    """Return the keys of a section, which is a model or a dataclass, in the order of its fields."""
    hints = typing.get_type_hints(section, include_extras=True)
    said = meanings(section)
    return [
        Key(name, _values(hints[name]), _default(section, name, hints[name]), said.get(name, ""))
        for name in _names(section)
    ]


def meanings(section: type) -> dict[str, str]:
    """Return what the docstrings of a class and of its bases say under ``Attributes:`` or ``Options:``, by key."""
    said: dict[str, str] = {}
    for base in reversed(section.__mro__):
        text = inspect.cleandoc(vars(base).get("__doc__") or "")
        for block in re.findall(r"^(?:Attributes|Options):\n((?:    .*(?:\n|$)|\n)+)", text, flags=re.MULTILINE):
            for names, meaning in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {5,}.*)*)", block, flags=re.MULTILINE):
                said |= dict.fromkeys(names.split(", "), _markdown(meaning))
    return said


def undocumented() -> list[str]:
    """Return the keys without a sentence, as ``section.key``, and the class whose docstring should have it."""
    described = [*_tree(Experiment), *_tree(Study), *_tree(SiteSettings), *_tree(ServerSettings)]
    described += [(f"aggregation: {{rule: {name}}}", rule) for name, rule in rules().items()]
    return [
        f"{title}.{key.name} ({section.__name__})"
        for title, section in described
        for key in keys_of(section)
        if not key.meaning
    ]


def configuration_reference() -> str:
    """Return the reference as Markdown.

    Raises:
        ValueError: If a key has no sentence, with the class whose docstring should have it.
    """
    if missing := undocumented():
        raise ValueError(f"no sentence under `Attributes:` says what these keys mean: {', '.join(missing)}")
    parts = ["## The experiment file", *_sections(Experiment)]
    parts += ["## Options of the aggregation rules", "They are written next to `rule`, under `aggregation`."]
    for name, rule in rules().items():
        parts += [
            f"### `{name}`: {rule_title(name)}",
            _summary(rule),
            *([_table(keys_of(rule))] if _names(rule) else []),
        ]
    own = [key for key in keys_of(Study) if key.name not in ExperimentKeys.model_fields]
    parts += ["## The study file", "A study file has the keys of an experiment file and these:", _table(own)]
    parts += ["## A site's `site.yaml`", *_sections(SiteSettings)]
    parts += ["## The server's `server.yaml`", *_sections(ServerSettings)]
    return "\n\n".join(parts)


def _sections(top: type[StrictModel]) -> Iterator[str]:
    for title, section in _tree(top):
        if title:
            yield f"### `{title}`"
        yield _summary(section)
        yield _table(keys_of(section))


def _tree(top: type, title: str = "") -> list[tuple[str, type]]:
    """List the sections of a file, each class once, with the path of the key that holds it."""
    found: dict[type, str] = {}
    waiting: list[tuple[str, type]] = [(title, top)]
    while waiting:
        path, section = waiting.pop(0)
        if section in found:
            continue
        found[section] = path
        for name, hint in typing.get_type_hints(section, include_extras=True).items():
            if name in _names(section):
                inner = sorted(sections_in(hint), key=lambda kind: kind.__name__)
                waiting += [(_path(path, name, kind, len(inner)), kind) for kind in inner]
    return [(path, section) for section, path in found.items()]


def _path(path: str, name: str, section: type, alternatives: int) -> str:
    whole = f"{path}.{name}" if path else name
    return f"{whole} ({section.__name__.lower()})" if alternatives > 1 else whole


def _names(section: type) -> list[str]:
    if issubclass(section, BaseModel):
        return list(section.model_fields)
    return [field.name for field in dataclasses.fields(section) if field.init]  # type: ignore[arg-type]


def _values(hint: object) -> str:
    inner = sections_in(hint)
    if not inner:
        return _cell(describe_type(hint))
    text = "keys and values, see below"
    if typing.get_origin(hint) is tuple:
        text = f"a list, each entry {text}"
    return f"{text}, or null" if type(None) in typing.get_args(_bare(hint)) else text


def _bare(hint: object) -> object:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _default(section: type, name: str, hint: object) -> str:
    if issubclass(section, BaseModel):
        field = section.model_fields[name]
        if field.is_required():
            return "required"
        value = field.get_default(call_default_factory=True)
    else:
        of_class = {field.name: field.default for field in dataclasses.fields(section)}  # type: ignore[arg-type]
        value = of_class[name]
        if value is dataclasses.MISSING:
            return "required"
    if dataclasses.is_dataclass(value) or isinstance(value, BaseModel):
        return "see below"
    if value == FREESURFER_REGIONS:
        return "FreeSurfer's labels"
    plain = TypeAdapter(hint).dump_python(value, mode="json")
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    return f"`{text}`" if len(text) <= LONG else "see the source"


def _summary(section: type) -> str:
    """The first paragraph of a class's docstring."""
    return _markdown(inspect.cleandoc(section.__doc__ or "").split("\n\n")[0])


def _markdown(text: str) -> str:
    """Return a docstring's text as one line of Markdown; pages of the documentation become links."""
    line = " ".join(text.replace("``", "`").split())
    return re.sub(r"\b(docs/([\w-]+)\.md)", r"[\2](../\2.md)", line)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(keys: list[Key]) -> str:
    rows = [f"| `{key.name}` | {key.values} | {_cell(key.default)} | {_cell(key.meaning)} |" for key in keys]
    return "\n".join(["| Key | Values | Default | Meaning |", "| --- | --- | --- | --- |", *rows])
