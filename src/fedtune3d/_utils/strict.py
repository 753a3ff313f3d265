"""Sections of a configuration file, and messages for problems in them: file, key, what was expected and found."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from fedtune3d._utils.names import did_you_mean
from fedtune3d._utils.problem_words import expected_words
from fedtune3d._utils.ranges import shown

STRICT = ConfigDict(extra="forbid")
"""Refuses unknown keys; for `__pydantic_config__` of a frozen dataclass that is a section of the YAML."""

RENAMED_IN_0_2 = {
    "least_examples": "`min_people`, which counts people, not scans",
    "least_per_class": "`min_per_class`, which counts people, not scans",
    "most_rounds": "`max_rounds`",
    "largest_payload_mb": "`max_payload_mb`",
    "largest_norm": "`max_norm`",
}
"""Keys of version 0.1, and their replacements."""


UNION_TAGS = {"tuning": ("frozen", "full", "lora"), "labels": ("two classes", "named classes")}
"""Key → pydantic's names for the sections that may stand there, which are no part of the YAML."""

_EXPECTED: dict[str, str] = {}
"""Pattern of a text → what is expected, in words."""


class StrictModel(BaseModel):
    """A section of the YAML: unknown keys are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def text_field(pattern: str, expected: str) -> FieldInfo:
    """Return a field for texts that match a pattern; `expected` says in the messages what they look like."""
    _EXPECTED[pattern] = expected
    field: FieldInfo = Field(pattern=pattern)
    return field


def problems_of(path: Path, error: ValidationError, model: type[StrictModel], values: object = None) -> list[str]:
    """Return one line per problem of a validation: file, key, and what is wrong.

    Args:
        path: The file.
        error: The validation's error.
        model: What the file was read as.
        values: What the file has, for the names of its sites.
    """
    lines = []
    problems = error.errors()
    for problem in problems:
        if problem["type"] == "too_short" and any(_is_inside(other["loc"], problem["loc"]) for other in problems):
            continue  # invalid entries count as missing, and are reported themselves
        location = _location(problem["loc"])
        key = ".".join(str(part) for part in location) or "the experiment"
        key += _site_of(location, values)
        is_unknown = problem["type"] in ("extra_forbidden", "unexpected_keyword_argument")
        if is_unknown and location[-1] in RENAMED_IN_0_2:
            message = f"needs fedtune3d 0.1; since 0.2 this key is {RENAMED_IN_0_2[str(location[-1])]}"
        elif is_unknown:
            known = _keys_at(model, location[:-1])
            message = f"unknown key{did_you_mean(str(location[-1]), known)} (known here: {', '.join(sorted(known))})"
        elif problem["type"] == "missing":
            message = "missing, but required"
        elif problem["type"] == "union_tag_not_found":
            message = f"missing key {problem['ctx']['discriminator']}"
        elif problem["type"] == "string_pattern_mismatch" and problem["ctx"]["pattern"] in _EXPECTED:
            message = f"expected {_EXPECTED[problem['ctx']['pattern']]}, got {shown(problem['input'])}"
        elif (words := expected_words(problem)) is not None:
            message = words
        else:
            got = "" if problem["type"] == "value_error" else f", got {shown(problem['input'])}"
            message = problem["msg"].removeprefix("Value error, ") + got
        lines.append(f"{path}: {key}: {message}")
    return lines


def _site_of(location: tuple[int | str, ...], values: object) -> str:
    """Return the name of the site whose section a location is in, such as `` (site A)``, if it is known."""
    match location, values:
        case ("sites", int(index), *keys), {"sites": list(sites)} if index < len(sites) and keys != ["name"]:
            section = sites[index]
            name = section.get("name") if isinstance(section, dict) else None
            return f" (site {name})" if isinstance(name, str) and name else ""
    return ""


def _location(parts: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the location of a problem in the YAML, without pydantic's names for the members of a union."""
    return tuple(
        part
        for before, part in zip(("", *parts), parts, strict=False)
        if isinstance(part, int) or not _is_union_member(before, part)
    )


def _is_union_member(before: int | str, part: str) -> bool:
    if before in ("labels", UNION_TAGS["labels"][1]) and part in (*UNION_TAGS["labels"], "definitions"):
        return True
    return "[" in part or part == "str" or (before == "tuning" and part in UNION_TAGS["tuning"])


def _is_inside(inner: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _keys_at(model: type[StrictModel], location: tuple[str | int, ...]) -> set[str]:
    """Return the valid keys of the section (or of all sections of a union) at a location in the YAML."""
    sections: set[type] = {model}
    for part in location:
        if isinstance(part, str):
            sections = {
                inner
                for section in sections
                if part in _fields_of(section)
                for inner in sections_in(_fields_of(section)[part])
            } or sections
    return {key for section in sections for key in _fields_of(section)}


def _fields_of(section: type) -> dict[str, Any]:
    """Return key → type of a section, which is a model or a dataclass."""
    if issubclass(section, StrictModel):
        return {key: field.annotation for key, field in section.model_fields.items()}
    hints = typing.get_type_hints(section)
    return {field.name: hints[field.name] for field in dataclasses.fields(section)}  # type: ignore[arg-type]


def sections_in(annotation: Any) -> set[type]:
    """Return the sections (models or dataclasses) that a value of a type may be or hold.

    A section with the attribute `keys_are_names`, whose keys the user chooses, is left out.
    """
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        is_section = issubclass(annotation, StrictModel) or dataclasses.is_dataclass(annotation)
        return {annotation} if is_section and not getattr(annotation, "keys_are_names", False) else set()
    return {section for inner in typing.get_args(annotation) for section in sections_in(inner)}
