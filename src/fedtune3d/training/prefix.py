"""The part of a model before the first trained parameter."""

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
"""Scans are encoded one by one, so that the features of one never depend on which others came with it."""


def staged(model: nn.Module) -> StagedModel:
    """The same model, seen as a chain of stages."""
    return cast(StagedModel, model)


def device_of(model: nn.Module) -> torch.device:
    """The device that holds the model."""
    return next(model.parameters()).device


class Prefix:
    """The leading stages of a model that hold nothing trained, ready to encode.

    Args:
        model: With its tuning applied and its weights loaded.
        trainable: Says where the prefix ends; with 0 there is none.
    """

    def __init__(self, model: nn.Module, trainable: Trainable) -> None:
        self.model = model
        self.end = trainable.prefix_end
        self.weights_sha256 = state_sha256(prefix_weights(model, self.end))

    @property
    def _spec(self) -> EncoderSpec:
        assert isinstance(self.model, Classifier)  # what has no encoder has no prefix
        return self.model.encoder.spec

    def key(self, scan: str, view: str) -> FeatureKey:
        """The cache's key of a prepared scan in a view, on this machine as it is set now."""
        return FeatureKey(
            scan=scan,
            view=view,
            prefix_sha256=self.weights_sha256,
            prefix_end=self.end,
            encoder=self._spec.name,
            encoder_version=self._spec.version,
            encoder_sha256=self._spec.code_sha256,
            dtype="float32",
            device=_kind_of_processor(device_of(self.model)),
            threads=torch.get_num_threads(),
            batch_size=BATCH_SIZE,
            torch=torch.__version__,
        )

    def encode(self, voxels: torch.Tensor) -> torch.Tensor:
        """(1, s, s, s) → what the prefix gives for this scan alone, without a batch axis, on the CPU."""
        self.model.eval()
        with torch.inference_mode():
            batch = voxels[None].to(device_of(self.model), torch.float32)
            return staged(self.model).run_stages(batch, 0, self.end)[0].float().cpu()


def prefix_weights(model: nn.Module, end: int) -> State:
    """The parameters and buffers of the first `end` stages of an encoder, by name."""
    if end == 0:
        return {}
    assert isinstance(model, Classifier)
    encoder, state = model.encoder, model.state_dict()
    names = (name for name in state if name.startswith(_ENCODER))
    return {name: state[name] for name in names if encoder.stage_of(name.removeprefix(_ENCODER)) < end}


def _kind_of_processor(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
