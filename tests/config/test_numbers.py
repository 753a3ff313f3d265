"""No key of a configuration that wants a number takes true or false, which Python counts as 1 and 0."""

import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.strict import StrictModel, _fields_of, sections_in
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Study
from fedtune3d.federation.flower.site_folder import SiteSettings

MODELS = (Experiment, Study, SiteSettings)


def sections_of(section: type, known: dict[type, None]) -> dict[type, None]:
    """A section of the YAML and all below it, once each."""
    if section not in known:
        known[section] = None
        for hint in _fields_of(section).values():
            for inner in sections_in(hint):
                sections_of(inner, known)
    return known


def numbers_in(hint: object) -> Iterator[object]:
    """The types of numbers that a type holds, with all that is attached to them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (int, float) or (origin is typing.Annotated and arguments[0] in (int, float)):
        yield hint
    elif origin not in (typing.Literal, typing.ClassVar):
        for argument in arguments:
            yield from numbers_in(argument)


def numeric_keys() -> Iterator[tuple[str, object]]:
    sections: dict[type, None] = {}
    for model in MODELS:
        sections_of(model, sections)
    for section in sections:
        for key, hint in typing.get_type_hints(section, include_extras=True).items():
            if key in _fields_of(section):
                metadata = section.model_fields[key].metadata if issubclass(section, StrictModel) else ()
                whole = typing.Annotated.__class_getitem__((hint, *metadata)) if metadata else hint
                yield from ((f"{section.__name__}.{key}", number) for number in numbers_in(whole))


def test_every_number_of_a_configuration_refuses_true_and_false() -> None:
    keys = list(numeric_keys())
    assert {"Experiment.threads", "TrainingSettings.rounds", "Lora.blocks", "Study.seeds"} <= {key for key, _ in keys}
    for key, hint in keys:
        for value in (True, False):
            with pytest.raises(ValidationError, match=f"expected a number, got {str(value).lower()}"):
                pytest.fail(f"{key} took {TypeAdapter(hint).validate_python(value)!r}")


def test_a_boolean_is_one_line_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "name: a\nsites: [{name: A, root: A}]\nlabels: {positive: [AD], negative: [CN]}\n"
        "threads: yes\ntraining: {rounds: on}\ntuning: {method: lora, rank: off}\n"
    )
    with pytest.raises(InputError) as refused:
        Experiment.from_yaml(path)
    boolean = "which is also how YAML reads yes, no, on and off"
    assert str(refused.value).splitlines() == [
        f"{path}: tuning.rank: expected a number, got false, {boolean}",
        f"{path}: training.rounds: expected a number, got true, {boolean}",
        f"{path}: threads: expected a number, got true, {boolean}",
    ]
