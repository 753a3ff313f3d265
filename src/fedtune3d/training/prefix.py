"""The part of a model before its first trainable parameter."""

from typing import cast

import torch
from torch import nn

from fedtune3d._utils.state_dicts import State, state_sha256
from fedtune3d.models.classifier import Classifier, StagedModel
from fedtune3d.models.encoders.contract import EncoderSpec
from fedtune3d.models.tuning import Trainable
from fedtune3d.training.features import FeatureKey

_ENCODER = "encoder."
BATCH_SIZE = 1
"""Scans are encoded one at a time, so that a scan's features never depend on other scans."""


def staged(model: nn.Module) -> StagedModel:
    """Return the same model, typed as a chain of stages."""
    return cast(StagedModel, model)


def device_of(model: nn.Module) -> torch.device:
    """Return the model's device."""
    return next(model.parameters()).device


class Prefix:
    """The leading stages of a model without trainable parameters, ready to encode.

    Args:
        model: The model, with its tuning applied and its weights loaded.
        trainable: The trainable part, which determines the number of stages in the prefix; may be 0.
    """

    def __init__(self, model: nn.Module, trainable: Trainable) -> None:
        self.model = model
        self.end = trainable.prefix_end
        self.weights_sha256 = state_sha256(prefix_weights(model, self.end))

    @property
    def _spec(self) -> EncoderSpec:
        assert isinstance(self.model, Classifier)  # a model without an encoder has no prefix
        return self.model.encoder.spec

    def key(self, scan: str, view: str) -> FeatureKey:
        """Return the cache key of a prepared scan in a view, with this machine's current settings."""
        return FeatureKey(
            scan=scan,
            view=view,
            prefix_sha256=self.weights_sha256,
            prefix_end=self.end,
            encoder=self._spec.name,
            encoder_version=self._spec.version,
            encoder_sha256=self._spec.code_sha256,
            dtype="float32",
            device=_processor(device_of(self.model)),
            threads=torch.get_num_threads(),
            batch_size=BATCH_SIZE,
            torch=torch.__version__,
        )

    def encode(self, voxels: torch.Tensor) -> torch.Tensor:
        """Encode one scan (1, s, s, s). Returns the prefix's output without a batch axis, on the CPU."""
        self.model.eval()
        with torch.inference_mode():
            batch = voxels[None].to(device_of(self.model), torch.float32)
            return staged(self.model).run_stages(batch, 0, self.end)[0].float().cpu()


def prefix_weights(model: nn.Module, end: int) -> State:
    """Return the parameters and buffers of the first `end` stages of an encoder, by name."""
    if end == 0:
        return {}
    assert isinstance(model, Classifier)
    encoder, state = model.encoder, model.state_dict()
    names = (name for name in state if name.startswith(_ENCODER))
    return {name: state[name] for name in names if encoder.stage_of(name.removeprefix(_ENCODER)) < end}


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
