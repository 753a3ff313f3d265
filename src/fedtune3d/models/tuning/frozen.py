"""Frozen tuning: only the head is trained."""

from dataclasses import dataclass
from typing import Literal

from fedtune3d._utils.strict import STRICT
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.tuning.trainable import Trainable, trainable_of


@dataclass(frozen=True)
class Frozen:
    """Train the head only.

    Attributes:
        method: ``frozen``.
    """

    __pydantic_config__ = STRICT

    method: Literal["frozen"] = "frozen"


def apply_frozen(model: Classifier) -> Trainable:
    """Freeze the encoder, which becomes the prefix."""
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    return trainable_of(model, prefix_end=model.stage_count - 1, trained_parts=("head.",))
