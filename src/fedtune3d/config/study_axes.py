"""The axes of a study: the entries of its lists, and the combinations that they form."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import JsonValue

from fedtune3d._utils.user_paths import expand_path
from fedtune3d.cohorts.folds import Fold
from fedtune3d.config.experiment import ExperimentKeys
from fedtune3d.config.model import default_weights
from fedtune3d.models.assembly import NCC, RESNET18

Choice = str | dict[str, JsonValue]
"""An entry of an axis: a name, or a mapping with the name, its options, and optionally `label` and sections."""

RANDOM = "random"
"""The reference with the study's own encoder, head, tuning and rule, but random weights."""

REFERENCES: dict[str, dict[str, JsonValue]] = {
    NCC: {
        "model": {"head": NCC},
        "tuning": {"method": "frozen"},
        "aggregation": {"rule": NCC},
        "training": {"rounds": 1},
    },
    RESNET18: {
        "model": {"encoder": RESNET18, "encoder_sha256": "", "weights": "random"},
        "tuning": {"method": "full"},
    },
    RANDOM: {"model": {"weights": "random"}},
}
NAME_KEYS = {
    "encoders": "encoder",
    "heads": "head",
    "references": "reference",
    "tunings": "method",
    "rules": "rule",
}
AXES = ("heads", "tunings", "rules")
"""The axes that every study has."""
STAGES = {"encoders": "encoder", "heads": "head", "tunings": "tuning", "rules": "rule"}
"""Stage in a report → the part that varies in it."""

_OWN = ("training", "privacy")
_OWN_OF_ENCODER = (*_OWN, "preparation")
_WHOLE = ("tuning", "aggregation")
"""Sections that a variant replaces completely, as their keys depend on the method or rule."""


@dataclass(frozen=True)
class Variant:
    """One value of an axis.

    Attributes:
        axis: A key of `NAME_KEYS`.
        name: Name of the encoder, head, reference, tuning method or rule.
        label: Distinguishes it from the others on its axis; part of its trials' names.
        note: Shown next to its name in reports: the user's label or the options; often empty.
        changes: Its changes to the experiment; sections are merged key by key.
    """

    axis: str
    name: str
    label: str
    note: str
    changes: Mapping[str, JsonValue] = field(hash=False)

    @property
    def names_encoder(self) -> bool:
        """True for a reference with an encoder, or a whole model, of its own."""
        model = self.changes.get("model")
        return isinstance(model, Mapping) and "encoder" in model


@dataclass(frozen=True)
class Draw:
    """The causes that set the trials of a combination apart: the seed and, in a cross-validation, the fold."""

    seed: int
    fold: Fold | None = None

    @property
    def label(self) -> str:
        """The seed, with repeat and fold if there are any: `0`, or `0, repeat 1, fold 3`."""
        fold = self.fold
        return str(self.seed) if fold is None else f"{self.seed}, repeat {fold.repeat}, fold {fold.number}"


@dataclass(frozen=True)
class Combination:
    """A head (or reference), a tuning and a rule; it has one trial per seed, and per fold of a cross-validation.

    Attributes:
        head: The head or reference.
        tuning: The tuning.
        rule: The aggregation rule.
        encoder: The encoder in a study that compares encoders; None in others, and for a reference with a model of its
            own.
    """

    head: Variant
    tuning: Variant
    rule: Variant
    encoder: Variant | None = None

    @property
    def is_reference(self) -> bool:
        """True for a reference, which has its own tuning and rule."""
        return self.head.axis == "references"

    @property
    def parts(self) -> tuple[Variant, ...]:
        """The parts that change the experiment, in the order in which they are applied."""
        own = (self.head,) if self.is_reference else (self.head, self.tuning, self.rule)
        return own if self.encoder is None else (self.encoder, *own)

    @property
    def name(self) -> str:
        """The name, such as `conv_s-frozen-fedavg`, or `deepbet-ncc` for a reference."""
        return "-".join(part.label for part in self.parts)

    def trial(self, draw: Draw) -> str:
        """Return the name of a trial, used for the experiment and the run folder."""
        return f"{self.name}-seed{draw.seed}" + ("" if draw.fold is None else f"-{draw.fold.name}")


def variant_of(axis: str, choice: Choice, keys: ExperimentKeys) -> Variant:
    """Return the variant that an entry of an axis describes, with the file's own values for what it leaves out.

    Raises:
        ValueError: If the entry has no name, or a key that entries of its axis do not have.
    """
    key = NAME_KEYS[axis]
    values: dict[str, JsonValue] = {key: choice} if isinstance(choice, str) else dict(choice)
    if key not in values:
        raise ValueError(f"{axis}: an entry needs `{key}`, got {', '.join(values)}")
    sections = _OWN_OF_ENCODER if axis == "encoders" else _OWN
    name, own = str(values.pop(key)), {section: values.pop(section) for section in sections if section in values}
    label = None if (given := values.pop("label", None)) is None else str(given)
    changes = changed(_changes(axis, name, values, keys), own)
    if axis == "encoders":
        return Variant(axis, name, label or name, _note_of_encoder(name, label, changes, keys), changes)
    options = values | {key: value for part in own.values() if isinstance(part, dict) for key, value in part.items()}
    note = ", ".join(f"{option}: {value}" for option, value in options.items()) if label is None else label
    return Variant(axis, name, label or _label(name, options), note if label != name else "", changes)


def _changes(axis: str, name: str, options: dict[str, JsonValue], keys: ExperimentKeys) -> dict[str, JsonValue]:
    if axis == "references":
        if name not in REFERENCES:
            raise ValueError(f"references: expected {' or '.join(REFERENCES)}, got {name!r}")
        return changed(REFERENCES[name], options)
    if axis == "encoders":
        same = name == keys.model.encoder
        own = {} if same else {"encoder_sha256": "", "weights": default_weights(name)}
        return {"model": {"encoder": name, **own, **options}}
    if axis == "heads":
        if "encoder" in options or "weights" in options:
            raise ValueError("heads: an entry has no `encoder` or `weights`; list encoders under `encoders`")
        return {"model": {"head": name, **options}}
    if axis == "tunings":
        same = not options and name == keys.tuning.method
        return {"tuning": asdict(keys.tuning) if same else {"method": name, **options}}
    section = keys.aggregation
    same = not options and name == section.rule
    return {"aggregation": section.model_dump() if same else {"rule": name, "lora": section.lora, **options}}


def has_random_weights(encoder: Variant, keys: ExperimentKeys) -> bool:
    """Return whether a variant on the axis of encoders has random weights."""
    return _has_random_weights(encoder.changes, keys)


def _has_random_weights(changes: Mapping[str, JsonValue], keys: ExperimentKeys) -> bool:
    model = changes["model"]
    assert isinstance(model, Mapping)  # as `_changes` has made it
    return model.get("weights", keys.model.weights) == "random"


def _note_of_encoder(name: str, label: str | None, changes: Mapping[str, JsonValue], keys: ExperimentKeys) -> str:
    own = [label] if label not in (None, name) else []
    return ", ".join([*own, *(["random weights"] if _has_random_weights(changes, keys) else [])])


def resolve_weights(choice: Choice, folder: Path) -> Choice:
    """Return an entry in which a path of weights, its own or under `model`, starts from `folder`."""
    if isinstance(choice, str):
        return choice
    model = choice.get("model")
    if isinstance(model, dict):
        choice = {**choice, "model": resolve_weights(model, folder)}
    weights = choice.get("weights")
    if not isinstance(weights, str) or weights in ("random", "packaged"):
        return choice
    return {**choice, "weights": str(folder / str(expand_path(weights)))}


def changed(values: Mapping[str, JsonValue], changes: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Apply changes to values; sections are merged key by key, except those that depend on a method or rule."""
    merged = dict(values)
    for key, change in changes.items():
        before = merged.get(key)
        by_key = isinstance(change, Mapping) and isinstance(before, Mapping) and key not in _WHOLE
        merged[key] = {**before, **change} if by_key else change  # type: ignore[dict-item]
    return merged


def _label(name: str, options: Mapping[str, JsonValue]) -> str:
    """Return a label that can be part of a folder name, such as `fedprox-mu0_01`."""
    text = "-".join([name, *(f"{key}{value}" for key, value in options.items())])
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)
