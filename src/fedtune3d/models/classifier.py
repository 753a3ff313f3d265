"""The classifier: an encoder and a head as one chain of stages."""

from typing import Protocol

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from fedtune3d.models.encoders.contract import Encoder


class StagedModel(Protocol):
    """A model as training needs it: a chain of stages that can be cut after a prefix."""

    stage_count: int

    def run_stages(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Run stages `start` to `stop` − 1 on the output of stage `start` − 1."""
        ...


class Classifier(nn.Module):
    """Scans (B, 1, s, s, s) → outputs (B, k): a logit per class, of two the positive one second; or one number.

    Stages are the encoder's, then the head as the last one. State names are ``encoder.…`` and ``head.…``.

    Args:
        encoder: A chain of stages from scans to features (`models/encoders/contract.py`).
        head: Features (B, channels, p, p, p) → outputs (B, k) (`models/heads/`).

    Attributes:
        stage_count: Number of the encoder's stages plus 1.
        gradient_checkpointing: If gradients are needed, keep only the activations between the encoder's stages and
            recompute each stage in the backward pass: less memory, about a third more time.
    """

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.stage_count = encoder.stage_count + 1
        self.gradient_checkpointing = False

    def run_stages(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Run stages `start` to `stop` − 1 on the output of stage `start` − 1. ValueError if the range is invalid."""
        if not 0 <= start <= stop <= self.stage_count:
            raise ValueError(f"stages: expected 0 <= start <= stop <= {self.stage_count}, got {start} and {stop}")
        encoder_stop = min(stop, self.stage_count - 1)
        if start < encoder_stop:
            x = self._run_encoder(x, start, encoder_stop)
        return self.head(x) if start < stop == self.stage_count else x

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        return self.run_stages(scans, 0, self.stage_count)

    def _run_encoder(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        run = self.encoder.run_stages
        if not (self.gradient_checkpointing and torch.is_grad_enabled()):
            return run(x, start, stop)
        for stage in range(start, stop):
            x = checkpoint(run, x, stage, stage + 1, use_reentrant=False)
        return x
