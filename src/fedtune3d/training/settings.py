"""Settings of local training."""

from dataclasses import dataclass
from math import cos, pi
from typing import Annotated, Literal

from pydantic import Field

from fedtune3d._utils.ranges import BelowOne, Count, CountOrZero, LearningRate, NonNegative, Positive, Probability
from fedtune3d._utils.strict import STRICT

Strength = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]


@dataclass(frozen=True)
class AugmentationSettings:
    """Strengths of the random changes to a prepared scan; 0 leaves a change out.

    Attributes:
        flip_probability: Of mirroring left and right, 0 to 1.
        rotation_degrees: Largest rotation about each axis.
        scaling: Largest relative change of size.
        translation_mm: Largest shift along each axis.
        bias_field: Largest coefficient of the multiplicative field's polynomial, of order 3.
        log_gamma: Largest |log γ|.
        noise: Largest standard deviation of Gaussian noise inside the brain, in units of the scan's own.
    """

    __pydantic_config__ = STRICT

    flip_probability: Probability = 0.5
    rotation_degrees: Annotated[float, Field(ge=0, le=180, allow_inf_nan=False)] = 10.0
    scaling: BelowOne = 0.1
    translation_mm: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)] = 5.0
    bias_field: Strength = 0.3
    log_gamma: Strength = 0.2
    noise: Strength = 0.1


@dataclass(frozen=True)
class TrainingSettings:
    """Length and settings of a site's training in each round. Optimisers start afresh in every round.

    Attributes:
        rounds: Rounds of the run.
        optimizer: ``"adamw"`` (decoupled weight decay) or ``"sgd"``.
        local_epochs: Passes over the site's training scans in a round, at least 1.
        batch_size: Scans in a batch; may exceed the number of scans.
        head_learning_rate: For every name that does not start with ``encoder.``.
        encoder_learning_rate: For names that do: adapters, or the encoder itself.
        weight_decay: For tensors of two axes or more; biases and norms have none.
        momentum: Of sgd.
        warmup_rounds: Rounds of a linear rise of the learning rates, before the schedule begins.
        schedule: ``"constant"``, or ``"cosine"`` down to nearly 0 in the last round. Rates are constant within a round.
        clip_norm: Largest 2-norm of the gradient of a step; None for no bound.
        accumulation: Batches behind one step of the optimiser.
        class_weighted: Weigh classes in the loss by the inverse of their share of the site's training scans.
        augmentation: Random changes to scans in training; None for none.
        views: Views of a scan that the cache holds: the scan itself and ``views - 1`` augmented ones, of which each
            epoch draws one per scan. Full tuning, which has no cache, draws a new augmentation each time instead.
    """

    __pydantic_config__ = STRICT

    rounds: Count = 20
    local_epochs: Count = 1
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
    views: Annotated[int, Field(ge=1, le=1000)] = 1
    augmentation: AugmentationSettings | None = None


def rate_factor(settings: TrainingSettings, round_number: int, rounds: int) -> float:
    """The share of the full learning rate in round `round_number` (from 1) of `rounds`: above 0, at most 1.

    Warm-up: t / (warmup_rounds + 1). Then cosine: (1 + cos(π s / S)) / 2, with s of the schedule's S rounds behind.
    """
    if round_number <= settings.warmup_rounds:
        return round_number / (settings.warmup_rounds + 1)
    if settings.schedule == "constant":
        return 1.0
    done = round_number - settings.warmup_rounds - 1
    return (1 + cos(pi * done / (rounds - settings.warmup_rounds))) / 2
