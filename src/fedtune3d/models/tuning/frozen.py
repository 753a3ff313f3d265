"""Frozen tuning: the head trains, the encoder stays."""

from dataclasses import dataclass

from fedtune3d.models.classifier import Classifier
from fedtune3d.models.tuning.answer import TuningAnswer, answer_for


@dataclass(frozen=True)
class Frozen:
    """Train the head only."""


def apply_frozen(model: Classifier) -> TuningAnswer:
    """Freeze the encoder; the prefix is the whole of it."""
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    return answer_for(model, prefix_end=model.stage_count - 1, trained_parts=("head.",))
