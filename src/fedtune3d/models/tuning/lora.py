"""LoRA tuning: low-rank adapters in chosen encoder blocks, and the head."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.ranges import BelowOne, Number, Whole, require_valid_fields
from fedtune3d._utils.seeds import global_draws_from
from fedtune3d._utils.strict import STRICT
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders.contract import AdaptableLayers, Encoder, EncoderSpec, Projection
from fedtune3d.models.tuning.fused_qkv import SplitQkv
from fedtune3d.models.tuning.trainable import Trainable, trainable_of


@dataclass(frozen=True)
class Lora:
    """Train adapters and the head: W x becomes W x + alpha/rank · B A x (Hu et al. 2021, arXiv:2106.09685, eq. 3).

    Attributes:
        method: ``lora``.
        rank: Rows of A and columns of B, at least 1.
        alpha: With the rank, the scale of the adapters.
        dropout: Probability of dropping an adapter's input in training, 0 to below 1.
        blocks: Block numbers from 0, or ``"global"`` (those whose attention sees the whole scan: 2, 5, 8, 11 of
            SAM-Med3D's ViT-B), ``"all"``, or ``"last:k"``.
        projections: Any of q, k, v, out and mlp (both its layers).
    """

    __pydantic_config__ = STRICT

    method: Literal["lora"] = "lora"
    rank: Annotated[Whole, Field(ge=1, le=4096)] = 4
    alpha: Annotated[Number, Field(gt=0, le=1e6, allow_inf_nan=False)] = 8
    dropout: BelowOne = 0.0
    blocks: str | tuple[Whole, ...] = "global"
    projections: Annotated[tuple[Projection, ...], Field(min_length=1)] = ("q", "v")

    def __post_init__(self) -> None:
        require_valid_fields(self, "lora.")


def apply_lora(model: Classifier, settings: Lora, seed: int = 0) -> Trainable:
    """Put adapters into the encoder, in place (A from the seed, B zero); the prefix ends before the first of them.

    The outputs do not change. In the blocks whose q, k or v is adapted, `qkv` becomes three layers. Where the
    encoder passes a zero row through `qkv` for its padding, the adapters act on that row too.
    """
    peft = import_peft()
    if hasattr(model.encoder, "peft_config"):
        raise ValueError("the encoder has adapters already; apply a tuning once, to a new model")
    adaptable = require_adaptable(model.encoder)
    numbers = chosen_blocks(settings.blocks, adaptable.depth, adaptable.default_blocks)
    targets = _target_names(model.encoder, adaptable, numbers, settings.projections)
    config = peft.LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=targets, bias="none"
    )
    with global_draws_from("lora", seed):
        peft.inject_adapter_in_model(config, model.encoder)
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_(".lora_" in name)
    model.head.requires_grad_(True)
    prefix_end = min(model.encoder.stage_of(f"{target}.weight") for target in targets)
    return trainable_of(model, prefix_end=prefix_end, trained_parts=("head.",))


def require_adaptable(encoder: Encoder) -> AdaptableLayers:
    """Return the layers of an encoder that LoRA can adapt. Raises `InputError` if there are none."""
    if encoder.spec.adaptable is None:
        raise InputError(f"tuning: {no_lora(encoder.spec)}")
    return encoder.spec.adaptable


def no_lora(spec: EncoderSpec) -> str:
    """Explain why an encoder without attention cannot be tuned with LoRA, and what to write instead."""
    return f"encoder {spec.name} has no attention for LoRA to adapt; write tuning: {{method: frozen}} or full"


def chosen_blocks(blocks: str | tuple[int, ...], depth: int, global_blocks: tuple[int, ...]) -> list[int]:
    """The block numbers, ascending, that `blocks` stands for in an encoder of that depth and those global blocks.

    Raises:
        InputError: If it stands for none, or for one that the encoder does not have.
    """
    complaint = (
        f"lora.blocks: expected block numbers from 0 to {depth - 1}, 'global', 'all' or 'last:k', got {blocks!r}"
    )
    if blocks == "all":
        return list(range(depth))
    if blocks == "global":
        return sorted(global_blocks)
    if isinstance(blocks, str):
        kind, _, count = blocks.partition(":")
        if kind != "last" or not count.isdecimal() or not 1 <= int(count) <= depth:
            raise InputError(complaint)
        return list(range(depth - int(count), depth))
    if not blocks or not set(blocks) <= set(range(depth)):
        raise InputError(complaint)
    return sorted(set(blocks))


def import_peft() -> Any:
    """Import `peft`. Raises `InputError` with the command to install it if it is missing."""
    try:
        import peft
    except ImportError as error:
        raise InputError(
            "tuning: 'lora' needs the package peft; install it with: pip install 'fedtune3d[lora]'"
        ) from error
    return peft


def _target_names(
    encoder: Encoder, adaptable: AdaptableLayers, numbers: list[int], projections: tuple[Projection, ...]
) -> list[str]:
    """The full names of the layers to adapt; splits the fused layer of those blocks where one of its parts is among
    them."""
    if {"q", "k", "v"} & set(projections):
        where, _, name = adaptable.fused.rpartition(".")
        for number in numbers:
            attention = encoder.get_submodule(f"blocks.{number}.{where}")
            setattr(attention, name, SplitQkv(attention.get_submodule(name)))  # type: ignore[arg-type]
    layers = [layer for projection, names in adaptable.layers.items() if projection in projections for layer in names]
    return [f"blocks.{number}.{layer}" for number in numbers for layer in layers]
