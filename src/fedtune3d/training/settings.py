"""Settings of local training."""

from dataclasses import dataclass
from math import ceil, cos, pi
from typing import Annotated, Literal

from pydantic import Field

from fedtune3d._utils.ranges import (
    BelowOne,
    Count,
    CountOrZero,
    LearningRate,
    NonNegative,
    Number,
    Positive,
    Probability,
    Whole,
)
from fedtune3d._utils.strict import STRICT

Strength = Annotated[Number, Field(ge=0, le=2, allow_inf_nan=False)]

BestRound = Literal["latest_within_error", "highest_auc", "last"]
Precision = Literal["float32", "bfloat16"]
"""Of a frozen encoder."""


@dataclass(frozen=True)
class AugmentationSettings:
    """Strengths of the random augmentations of a prepared scan; 0 disables one.

    Attributes:
        flip_probability: Probability of a left-right flip, 0 to 1.
        rotation_degrees: Maximum rotation about each axis.
        scaling: Maximum relative change in size.
        translation_mm: Maximum shift along each axis.
        bias_field: Maximum coefficient of the multiplicative field's polynomial of order 3.
        log_gamma: Maximum |log γ|.
        noise: Maximum standard deviation of Gaussian noise inside the brain, in units of the scan's.
    """

    __pydantic_config__ = STRICT

    flip_probability: Probability = 0.5
    rotation_degrees: Annotated[Number, Field(ge=0, le=180, allow_inf_nan=False)] = 10.0
    scaling: BelowOne = 0.1
    translation_mm: Annotated[Number, Field(ge=0, le=50, allow_inf_nan=False)] = 5.0
    bias_field: Strength = 0.3
    log_gamma: Strength = 0.2
    noise: Strength = 0.1


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a site's training in each round. Optimisers are reset at the start of every round.

    Attributes:
        rounds: Number of rounds.
        optimizer: ``"adamw"`` (decoupled weight decay) or ``"sgd"``.
        local_epochs: Passes over the site's training scans per round, at least 1.
        min_steps: Minimum number of optimiser steps per round: whoever has few scans passes over them more often than
            `local_epochs`. With 0, a site of six scans makes one step per pass at the default batch size.
        batch_size: Scans per batch; may exceed the number of scans.
        head_learning_rate: Learning rate of all names that do not start with ``encoder.``.
        encoder_learning_rate: Learning rate of names that do: adapters, or the encoder itself.
        weight_decay: Weight decay of tensors with at least two axes; biases and norms have none.
        momentum: Momentum of SGD.
        warmup_rounds: Rounds in which the learning rates rise linearly, before the schedule begins.
        schedule: ``"constant"``, or ``"cosine"`` to nearly 0 in the last round. Rates are constant within a round.
        clip_norm: Maximum 2-norm of a step's gradient; None for no limit.
        accumulation: Batches per optimiser step.
        class_weighted: Whether classes are weighted in the loss by the inverse of their share of the training scans.
        augmentation: Random augmentations during training, or None.
        best_round: How the round is chosen whose state is evaluated (`federation/best_round.py`):
            ``"latest_within_error"``, ``"highest_auc"`` or ``"last"``.
        views: Cached views per scan: the scan itself and ``views - 1`` augmented ones, of which each epoch draws one
            per scan. Full tuning, which has no cache, draws a new augmentation each time instead.
    """

    __pydantic_config__ = STRICT

    rounds: Count = 20
    local_epochs: Count = 1
    min_steps: Annotated[Whole, Field(ge=0, le=10_000)] = 0
    batch_size: Count = 8
    optimizer: Literal["adamw", "sgd"] = "adamw"
    head_learning_rate: LearningRate = 1e-3
    encoder_learning_rate: LearningRate = 1e-4
    weight_decay: NonNegative = 1e-2
    momentum: BelowOne = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_rounds: CountOrZero = 0
    clip_norm: Positive | None = 1.0
    accumulation: Count = 1
    class_weighted: bool = True
    best_round: BestRound = "latest_within_error"
    views: Annotated[Whole, Field(ge=1, le=1000)] = 1
    augmentation: AugmentationSettings | None = None

    def passes(self, scans: int) -> int:
        """Passes over `scans` training scans per round."""
        return max(self.local_epochs, ceil(self.min_steps / self.steps_per_pass(scans)))

    def local_steps(self, scans: int) -> int:
        """Optimiser steps per round with `scans` training scans; at least 1."""
        return self.passes(scans) * self.steps_per_pass(scans)

    def steps_per_pass(self, scans: int) -> int:
        """Optimiser steps in a pass over `scans` training scans; at least 1."""
        return max(1, ceil(ceil(scans / self.batch_size) / self.accumulation))


def rate_factor(settings: TrainingSettings, round_number: int, rounds: int) -> float:
    """Return the fraction of the full learning rate in round `round_number` (from 1) of `rounds`: above 0, at most 1.

    Warm-up: t / (warmup_rounds + 1). Then cosine: (1 + cos(π s / S)) / 2, after s of the schedule's S rounds.
    """
    if round_number <= settings.warmup_rounds:
        return round_number / (settings.warmup_rounds + 1)
    if settings.schedule == "constant":
        return 1.0
    done = round_number - settings.warmup_rounds - 1
    return (1 + cos(pi * done / (rounds - settings.warmup_rounds))) / 2
