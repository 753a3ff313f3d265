"""Tuning: what of a model trains, said once."""

from fedtune3d.models.tuning.answer import TuningAnswer, read_state, write_state
from fedtune3d.models.tuning.apply import Tuning, apply_tuning
from fedtune3d.models.tuning.frozen import Frozen
from fedtune3d.models.tuning.full import Full
from fedtune3d.models.tuning.lora import Lora

__all__ = ["Frozen", "Full", "Lora", "Tuning", "TuningAnswer", "apply_tuning", "read_state", "write_state"]
