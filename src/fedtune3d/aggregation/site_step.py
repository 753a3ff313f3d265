"""A rule's site step, as data: what to score, how to correct gradients, what to send and what to keep.

A rule subclasses `SiteStep` in its own file and names the class in `Rule.step_type`. The server sends only the fields;
the site looks up the class by the rule's name among its installed rules, so no code is ever sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from inspect import get_annotations
from typing import ClassVar, Self, get_type_hints

import torch
from pydantic import JsonValue, TypeAdapter, ValidationError

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE, ScoreKind

STATE = "state"
"""Part of a message: the state dict. In an update, its names are those of the received state except those in
`SiteStep.keep_local` and `SiteStep.frozen`."""

KEPT_LOCAL = "kept_local"
"""Part of a site's memory: its own tensors for the names in `SiteStep.keep_local`."""

Parts = Mapping[str, State]
"""Name of the part → state dict."""


@dataclass(frozen=True)
class LocalOptimizer:
    """Facts about a site's optimiser in a round that a gradient correction may use.

    Attributes:
        name: ``"adamw"`` or ``"sgd"``.
        momentum: Momentum of sgd.
        rates: Learning rate of each parameter, constant within the round.
    """

    name: str
    momentum: float
    rates: Mapping[str, float]


class GradientCorrection:
    """Base class of gradient corrections in a site's round; leaves gradients unchanged.

    All methods receive this round's trainable parameters by name, on the model's device.
    """

    def before_clipping(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        """Add the gradient of an additional loss term to each ``parameter.grad``, in place."""

    def after_clipping(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        """Shift each ``parameter.grad``, in place."""

    def parts_to_send(self, parameters: Mapping[str, torch.nn.Parameter], steps: int) -> dict[str, State]:
        """Return the state dicts to send with the trained state after `steps` optimiser steps, on the CPU."""
        return {}


@dataclass(frozen=True)
class SiteStep:
    """The part of a rule that runs at a site in one round; ``training/`` carries it out.

    Subclasses add fields: JSON values, which the site validates against their annotations, or state dicts (annotated
    `State`), which are sent as parts under the field's name. Every field has a default. Methods are pure.

    Attributes:
        keep_local: Names in the state that never leave the site; the site continues with its own tensors.
        frozen: Names in the state that are sent to the site but neither trained nor sent back.
        score_kind: The requested kind of validation score.

    Class attributes:
        scores_training: Whether to send the loss of the received state over the training scans
            (`Update.received_training_loss`).
        own_scores: Names of all scores that `states_to_score` may ask for. Other scores do not leave the site.
        own_scalars: Names of all other numbers that `scalars` may return. Others do not leave the site.
        per_site: Names of the fields that differ between sites; all others are the same throughout a round.
    """

    scores_training: ClassVar[bool] = False
    own_scores: ClassVar[tuple[str, ...]] = ()
    own_scalars: ClassVar[tuple[str, ...]] = ()
    per_site: ClassVar[tuple[str, ...]] = ()
    keep_local: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    score_kind: ScoreKind = "auc"

    def __init_subclass__(cls) -> None:
        """Raise `TypeError` if a field has the name that messages use for the state dict."""
        super().__init_subclass__()
        if STATE in get_annotations(cls):
            raise TypeError(f"{cls.__module__}.{cls.__name__}: the field name {STATE!r} is taken; choose another")

    @classmethod
    def score_names(cls) -> frozenset[str]:
        """Return the names of all validation scores that an update may contain."""
        return frozenset({RECEIVED_SCORE, SENT_SCORE, *cls.own_scores})

    def in_product_space(self, scaling: float) -> Self:
        """Return the step for a rule that runs on products of LoRA factors (`lora.py`) with s = `scaling`."""
        return self

    def states_to_score(self, received: State, remembered: Parts) -> dict[str, State]:
        """Return further states to score on the validation set, under names in `own_scores`."""
        return {}

    def scalars(self, received: State, trained: State, remembered: Parts) -> dict[str, float]:
        """Numbers about the training that the rule needs, by names in `own_scalars`; `trained` is complete."""
        return {}

    def correction(
        self, parameters: Mapping[str, torch.nn.Parameter], optimizer: LocalOptimizer, remembered: Parts
    ) -> GradientCorrection:
        """Create the gradient correction of this round, before the first step.

        Raises:
            ValueError: If the step cannot be used with the optimiser.
        """
        return GradientCorrection()

    def expected_parts(self, state: State) -> dict[str, State]:
        """Return each part of an update with its names, shapes and dtypes, given the received state."""
        left_out = {*self.keep_local, *self.frozen}
        return {STATE: {name: tensor for name, tensor in state.items() if name not in left_out}}

    def to_remember(self, trained: State, sent: Parts, remembered: Parts) -> dict[str, State]:
        """Return the state dicts that the site keeps for its next round, by part.

        Args:
            trained: The site's state after training, including names that were not trained.
            sent: The parts of its update.
            remembered: What it kept in its last accepted round.
        """
        return {KEPT_LOCAL: {name: trained[name] for name in self.keep_local}}

    def received_to_remember(self, received: State) -> dict[str, State]:
        """State dicts of what came down that the site keeps for its next round, by part."""
        return {}


@dataclass(frozen=True)
class PackedStep:
    """A step in the form in which it is sent: JSON values and state dicts by field name."""

    values: dict[str, JsonValue]
    parts: dict[str, State]


def pack_step(step: SiteStep) -> PackedStep:
    """Split a step into JSON values and state dicts."""
    packed = PackedStep({}, {})
    for name, is_state in _fields(type(step)).items():  # type: ignore[arg-type]
        if is_state:
            packed.parts[name] = dict(getattr(step, name))
        else:
            adapter = _adapter(type(step), name)  # type: ignore[arg-type]
            packed.values[name] = adapter.dump_python(getattr(step, name), mode="json")
    return packed


def unpack_step(step_type: type[SiteStep], packed: PackedStep) -> SiteStep:
    """Rebuild a step of a known type.

    Raises:
        InputError: If a field is missing, unknown or of the wrong type.
    """
    expected = _fields(step_type)  # type: ignore[arg-type]
    received = dict.fromkeys(packed.values, False) | dict.fromkeys(packed.parts, True)
    if received != expected:
        raise InputError(
            f"site step: expected {', '.join(sorted(expected))}, got {', '.join(sorted(received))}; "
            "install the same version of fedtune3d at the server and the site"
        )
    values: dict[str, object] = dict(packed.parts)
    for name, value in packed.values.items():
        try:
            values[name] = _adapter(step_type, name).validate_python(value)  # type: ignore[arg-type]
        except ValidationError as error:
            raise InputError(f"site step: {name}: {error.errors()[0]['msg']}, got {value!r}") from error
    return step_type(**values)  # type: ignore[arg-type]  # checked against the annotations above


# Kept for each class: pydantic takes a millisecond for an adapter, and a round uses several at each site. What mypy is
# given above: a class has a hash, whether or not its instances have.
@cache
def _fields(step_type: type[SiteStep]) -> Mapping[str, bool]:
    """Return field name → whether the field is a state dict."""
    hints = get_type_hints(step_type)
    return {field.name: hints[field.name] == State for field in fields(step_type)}


@cache
def _adapter(step_type: type[SiteStep], name: str) -> TypeAdapter[object]:
    return TypeAdapter(get_type_hints(step_type)[name])
