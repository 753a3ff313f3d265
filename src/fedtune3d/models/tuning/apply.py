"""Application of tuning settings to a model."""

from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.tuning.frozen import Frozen, apply_frozen
from fedtune3d.models.tuning.full import Full, apply_full
from fedtune3d.models.tuning.lora import Lora, apply_lora
from fedtune3d.models.tuning.trainable import Trainable

Tuning = Frozen | Full | Lora


def apply_tuning(model: nn.Module, settings: Tuning, seed: int = 0) -> Trainable:
    """Freeze and unfreeze parameters in place, and return the trainable part.

    Args:
        model: A `Classifier`, its weights already loaded (adapters are put around them); or a reference, which has no
            encoder to keep and trains in full.
        settings: `Frozen`, `Full` or `Lora`.
        seed: Adapters' initial weights depend only on it.

    Raises:
        InputError: If the settings do not fit the model, or LoRA is asked for without the extra that it needs.
    """
    if isinstance(settings, Full):
        return apply_full(model, settings)
    if not isinstance(model, Classifier):
        name = type(settings).__name__.lower()
        raise InputError(f"tuning: {type(model).__name__} has no encoder to keep, so {name!r} does not fit; use 'full'")
    return apply_frozen(model) if isinstance(settings, Frozen) else apply_lora(model, settings, seed)
