"""Full tuning: all parameters are trained."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from fedtune3d._utils.strict import STRICT
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.tuning.trainable import Trainable, trainable_of


@dataclass(frozen=True)
class Full:
    """Train all parameters.

    Attributes:
        method: ``full``.
        gradient_checkpointing: Compute the encoder's stages again in the backward pass instead of keeping what is
            inside them, for small GPUs. Has no effect on reference models, which have no encoder.
    """

    __pydantic_config__ = STRICT

    method: Literal["full"] = "full"
    gradient_checkpointing: bool = False


def apply_full(model: nn.Module, settings: Full) -> Trainable:
    """Unfreeze the whole model, a `Classifier` or a reference; there is no prefix."""
    model.requires_grad_(True)
    if isinstance(model, Classifier):
        model.gradient_checkpointing = settings.gradient_checkpointing
    return trainable_of(model, prefix_end=0, trained_parts=("",))
