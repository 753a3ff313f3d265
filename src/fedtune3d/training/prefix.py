"""The part of a model before its first trainable parameter."""

from contextlib import nullcontext
from typing import cast

import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import State, state_sha256
from fedtune3d.models.classifier import Classifier, StagedModel
from fedtune3d.models.encoders.contract import EncoderSpec
from fedtune3d.models.tuning import Trainable
from fedtune3d.training.features import FeatureKey
from fedtune3d.training.replay import Replay
from fedtune3d.training.settings import Precision

_ENCODER = "encoder."
BATCH_SIZE = 1
"""Scans are encoded one at a time, so that a scan's features never depend on other scans."""

MAX_ERROR = 1e-2
"""The greatest ‖difference‖ / ‖features‖ between bfloat16 and float32 on a scan of noise with which it is used."""


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
        precision: In which the products are computed; features are float32 all the same.
    """

    def __init__(self, model: nn.Module, trainable: Trainable, precision: Precision = "float32") -> None:
        self.model = model
        self.precision = precision
        self.end = trainable.prefix_end
        self.weights_sha256 = state_sha256(prefix_weights(model, self.end))
        self._recorded: dict[Precision, Replay | None] = {}

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
            dtype=self.precision,
            device=_processor(device_of(self.model)),
            threads=torch.get_num_threads(),
            batch_size=BATCH_SIZE,
            torch=torch.__version__,
        )

    def encode(self, voxels: torch.Tensor) -> torch.Tensor:
        """Encode one scan (1, s, s, s). Returns the prefix's output without a batch axis, on the CPU."""
        return self._encode(voxels, self.precision)

    def _encode(self, voxels: torch.Tensor, precision: Precision) -> torch.Tensor:
        self.model.eval()
        with torch.inference_mode():
            batch = voxels[None].to(device_of(self.model), torch.float32)
            run = self._replayed(batch, precision) if batch.is_cuda else None
            return (self._run(batch, precision) if run is None else run(batch))[0].cpu()

    def _run(self, batch: torch.Tensor, precision: Precision) -> torch.Tensor:
        in_precision = torch.autocast(batch.device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
        with in_precision:
            return staged(self.model).run_stages(batch, 0, self.end).float()

    def _replayed(self, batch: torch.Tensor, precision: Precision) -> Replay | None:
        """Return the recorded prefix; None where it cannot be recorded, as with code that waits for the GPU."""
        if precision not in self._recorded:
            try:
                self._recorded[precision] = Replay(lambda scan: self._run(scan, precision), batch)
            except RuntimeError:
                self._recorded[precision] = None
        return self._recorded[precision]

    def require_accuracy(self, size: int) -> None:
        """Check that the precision changes the features of a scan of noise by at most `MAX_ERROR` of their norm.

        Args:
            size: Voxels along each axis of the scan.

        Raises:
            InputError: If it changes them by more, with the measured error.
        """
        if self.precision == "float32" or self.end == 0:
            return
        scan = noise_in_a_ball(size, self._spec.input.intensity == "minmax")
        given, exact = self._encode(scan, self.precision), self._encode(scan, "float32")
        self._recorded.pop("float32", None)  # its memory is not needed again
        error = float((given - exact).norm() / exact.norm())
        if not error <= MAX_ERROR:
            raise InputError(
                f"model.precision: {self.precision} changes the features of encoder {self._spec.name} on a scan of "
                f"noise by {error:.1e} of their norm, more than {MAX_ERROR:.0e}; write float32"
            )


def noise_in_a_ball(size: int, positive: bool) -> torch.Tensor:
    """Return noise in a ball and 0 outside, like a brain, (1, size, size, size); from 0 to 1, or normal."""
    axis = torch.linspace(-1.2, 1.2, size)
    ball = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2) < 1
    draw = torch.rand if positive else torch.randn
    return torch.where(ball, draw(1, size, size, size, generator=torch_rng("precision", size)), 0.0)


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
        return f"cuda {torch.cuda.get_device_name(device)}, exact"  # others are from before `compute_exactly`
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
