"""Checks of an encoder that need no training: `fedtune3d.testing.check_encoder` runs them with those of the cache."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import save_state, state_sha256
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import INTENSITIES, Encoder, EncoderSpec, initialise_random
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Lora, apply_tuning
from fedtune3d.models.weights import load_encoder_weights

SMALL = 64
TOLERANCE = 1e-4
"""Of the norm of a difference over that of the features."""


@dataclass(frozen=True)
class Checked:
    """An encoder to check.

    Attributes:
        name: The name in the experiment file.
        size: Voxels along each axis of the test scans; the shape of the features is always checked at the size that the
            encoder specifies.
    """

    name: str
    size: int

    def build(self, seed: int = 1) -> Encoder:
        """Build an encoder with random weights, in evaluation mode."""
        encoder = build_encoder(self.name)
        initialise_random(encoder, seed)
        return encoder.eval()

    def scans(self, count: int) -> Tensor:
        """Return at most 4 test scans (count, 1, size, size, size): noise in a ball, else 0, like prepared scans."""
        return _balls(self.size)[:count]

    def require(self, holds: bool, complaint: str) -> None:
        """Raise `AssertionError` with the encoder's name if a condition does not hold."""
        if not holds:
            raise AssertionError(f"encoder {self.name}: {complaint}")


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # so that gradients can follow, whoever asks first
def _balls(size: int) -> Tensor:
    axis = torch.linspace(-1.2, 1.2, size)
    ball = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2) < 1
    noise = torch.randn(4, 1, size, size, size, generator=torch_rng("encoder check", size))
    return torch.where(ball, noise, 0.0)


def checked(name: str, size: int | None) -> Checked:
    """Return the encoder with its test scans; by default of the encoder's own size, or of a small one if accepted."""
    spec = build_encoder(name).spec
    return Checked(name, size or (spec.input.size if spec.input.fixed_size else min(SMALL, spec.input.size)))


def check_spec(it: Checked) -> None:
    """Check that the specification is complete."""
    spec = it.build().spec
    it.require(isinstance(spec, EncoderSpec), f"`spec` is {type(spec).__name__}, expected EncoderSpec")
    it.require(spec.version >= 1 and bool(spec.title and spec.licence), "expected a version from 1, a title, a licence")
    it.require(
        spec.input.intensity in INTENSITIES, f"intensity {spec.input.intensity!r}: expected one of {INTENSITIES}"
    )
    it.require(spec.input.size % 8 == 0, f"expected scans of a multiple of 8 voxels, got {spec.input.size}")
    it.require(spec.input.size % spec.features.positions == 0, "the positions of its features do not divide its input")


def check_shape(it: Checked) -> None:
    """Check that features have the specified shape at the specified size, and are finite for the test scans."""
    encoder = it.build()
    with torch.inference_mode():
        features, size = encoder(it.scans(1)), encoder.spec.input.size
        it.require(bool(torch.isfinite(features).all()), "the features of a scan are not finite")
        if it.size != size:  # without computing them
            features = encoder.to("meta")(torch.empty(1, 1, size, size, size, device="meta"))
    shape = tuple(features.shape[1:])
    it.require(shape == encoder.spec.features.shape, f"features {shape}, expected {encoder.spec.features.shape}")


def check_chain(it: Checked) -> None:
    """Check that the stages in turn equal the forward pass bit for bit, and that an empty range does nothing."""
    encoder, scans = it.build(), it.scans(1)
    with torch.inference_mode():
        x = scans
        for stage in range(encoder.stage_count):
            it.require(
                torch.equal(encoder.run_stages(x, stage, stage), x), f"stages {stage} to {stage} change the input"
            )
            x = encoder.run_stages(x, stage, stage + 1)
        it.require(torch.equal(x, encoder(scans)), "the chain of stages does not equal the forward pass")


def check_stages(it: Checked) -> None:
    """Check that each weight is read by one stage only, so that a prefix depends only on its own weights."""
    encoder, x = it.build(), it.scans(1)
    stages = {name: encoder.stage_of(name) for name in encoder.state_dict()}
    wrong = [name for name, stage in stages.items() if not 0 <= stage < encoder.stage_count]
    it.require(not wrong, f"stage_of({', '.join(wrong)}) is no stage from 0 to {encoder.stage_count - 1}")
    for stage in range(encoder.stage_count):
        others = it.build()
        own_names = {name for name, owner in stages.items() if owner == stage}
        _scramble(others, stages.keys() - own_names)
        with torch.inference_mode():
            output = encoder.run_stages(x, stage, stage + 1)
            alone = torch.equal(others.run_stages(x, stage, stage + 1), output)
            it.require(alone, f"stage {stage} reads weights that stage_of places elsewhere")
            _scramble(others, own_names)
            unread = bool(own_names) and torch.equal(others.run_stages(x, stage, stage + 1), output)
        it.require(not unread, f"stage {stage} does not read the weights that stage_of places there")
        x = output


def check_batch(it: Checked) -> None:
    """Check that a scan's features do not depend on the other scans in the batch."""
    encoder, scans = it.build(), it.scans(4)
    with torch.inference_mode():
        it.require(_close(encoder(scans)[1:2], encoder(scans[1:2])), "a scan depends on its batch")


def check_state(it: Checked) -> None:
    """Check that a saved state, loaded into an encoder with other weights, gives the same features."""
    first, second, scan = it.build(1), it.build(2), it.scans(1)
    same = state_sha256(first.state_dict()) == state_sha256(it.build(1).state_dict())
    it.require(same, "the same seed draws other weights")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.safetensors"
        save_state(path, first.state_dict())
        load_encoder_weights(second, path)
    with torch.inference_mode():
        it.require(torch.equal(first(scan), second(scan)), "its own state, loaded, gives other features")


def check_gradients(it: Checked) -> None:
    """Check that every parameter gets a finite gradient, so that full tuning trains the whole encoder."""
    encoder = it.build()
    features = encoder(it.scans(1))
    (features * torch.randn(features.shape, generator=torch_rng("encoder check"))).sum().backward()
    for name, parameter in encoder.named_parameters():
        faulty = parameter.grad is None or not bool(torch.isfinite(parameter.grad).all())
        it.require(not faulty, f"{name} has no finite gradient")


def check_adapters(it: Checked) -> None:
    """Check that new adapters, whose B is zero, change nothing. Encoders without attention are not checked."""
    encoder, scan = it.build(), it.scans(1)
    if encoder.spec.adaptable is None:
        return
    with torch.inference_mode():
        before = encoder(scan)
        everything = Lora(blocks="all", projections=tuple(encoder.spec.adaptable.layers))
        apply_tuning(Classifier(encoder, build_head("linear", encoder.out_channels)), everything)
        after = encoder.eval()(scan)
    it.require(_close(after, before), "new adapters change its features")


def _close(given: Tensor, expected: Tensor) -> bool:
    return bool((given - expected).norm() <= TOLERANCE * expected.norm())


def _scramble(encoder: Encoder, names: set[str]) -> None:
    with torch.no_grad():
        for name, tensor in encoder.state_dict().items():
            if name in names and tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=torch_rng("scramble", name)) + 0.5)


CHECKS: tuple[Callable[[Checked], None], ...] = (
    check_spec,
    check_shape,
    check_chain,
    check_stages,
    check_batch,
    check_state,
    check_gradients,
    check_adapters,
)
