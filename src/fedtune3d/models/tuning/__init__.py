"""Tuning: which parameters of a model are trained."""

from fedtune3d.models.tuning.apply import Tuning, apply_tuning
from fedtune3d.models.tuning.frozen import Frozen
from fedtune3d.models.tuning.full import Full
from fedtune3d.models.tuning.lora import Lora
from fedtune3d.models.tuning.trainable import Trainable, read_state, write_state

__all__ = ["Frozen", "Full", "Lora", "Tuning", "Trainable", "apply_tuning", "read_state", "write_state"]
