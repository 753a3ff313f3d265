"""The contract of an encoder: what it says about itself, once, and the chain of stages that it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import State

Intensity = Literal["zscore", "white_stripe", "histogram", "minmax", "none"]
INTENSITIES: tuple[Intensity, ...] = get_args(Intensity)
Projection = Literal["q", "k", "v", "out", "mlp"]


@dataclass(frozen=True)
class InputSpec:
    """The scans that an encoder takes. Prepared scans are brains without their skull, one channel, axes RAS.

    An encoder whose network was trained on other axes turns the scan in its first stage, and its features back in its
    last, so that no other part of the program can get an orientation wrong.

    Attributes:
        size: Voxels along each axis.
        spacing_mm: Width of a voxel.
        space: ``mni`` where brains are registered to MNI152, too; ``native`` leaves them as they lie (see
            `preparation.prepare_scan`).
        intensity: Scale of the voxels in the brain (`preparation.intensity.normalise_intensity`); 0 outside.
        fixed_size: Whether the network takes no other size.
    """

    size: int = 128
    spacing_mm: float = 1.5
    space: Literal["native", "mni"] = "native"
    intensity: Intensity = "zscore"
    fixed_size: bool = True


@dataclass(frozen=True)
class FeatureSpec:
    """The features that an encoder makes of a scan, (channels, positions, positions, positions).

    One position is a vector: it says nothing about the place.
    """

    channels: int
    positions: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the features of a scan."""
        return self.channels, self.positions, self.positions, self.positions

    @property
    def is_vector(self) -> bool:
        """Whether there is one position only."""
        return self.positions == 1


@dataclass(frozen=True)
class AdaptableLayers:
    """The layers that LoRA can adapt.

    Attributes:
        depth: Number of blocks; block `n` is the module ``blocks.n``.
        default_blocks: The blocks that ``global`` stands for: those whose attention sees the whole scan.
        layers: Projection → its layers, named from the block on. Those of q, k and v are the parts of `fused`.
        fused: The layer that projects to q, k and v at once.
    """

    depth: int
    default_blocks: tuple[int, ...]
    layers: Mapping[Projection, tuple[str, ...]] = field(hash=False)
    fused: str = "attn.qkv"


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder says about itself; every other part of the program reads it here.

    Attributes:
        name: As in the experiment file.
        version: Raised with any change of the code that changes a bit of the features. With the name, the first cause
            in the feature cache's keys.
        title: For reports.
        input: The scans that it takes.
        features: What it makes of them.
        licence: Of the released weights, or of the code where there are none.
        cohorts: Public cohorts whose scans it was pre-trained on, by the names that studies use.
        adaptable: What LoRA can adapt; None where there is no attention.
        code_sha256: Of the file of an encoder that is no part of this package; empty for all others.
    """

    name: str
    version: int
    title: str
    input: InputSpec
    features: FeatureSpec
    licence: str
    cohorts: tuple[str, ...] = ()
    adaptable: AdaptableLayers | None = None
    code_sha256: str = ""


class Encoder(nn.Module, ABC):
    """Scans (B, 1, s, s, s) → features (B, channels, p, p, p), as a chain of stages that can be cut after any of them.

    A leading part without trained parameters is run once per scan and kept. `fedtune3d.testing.check_encoder` checks
    an encoder.

    Attributes:
        spec: What it says about itself.
    """

    spec: EncoderSpec

    @property
    @abstractmethod
    def stage_count(self) -> int:
        """The number of stages, at least 1."""

    @abstractmethod
    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        """Run one stage on what the stage before gave; on scans where it is 0."""

    @abstractmethod
    def stage_of(self, name: str) -> int:
        """The stage that reads the parameter or buffer of this name."""

    @property
    def out_channels(self) -> int:
        """Channels of the features."""
        return self.spec.features.channels

    def run_stages(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Run the stages `start` … `stop` − 1.

        Args:
            x: Scans (B, 1, s, s, s) where `start` is 0, else what stage `start` − 1 gave.
            start, stop: 0 ≤ start ≤ stop ≤ `stage_count`.

        Returns:
            What stage `stop` − 1 gives: the features after the last one; `x` for an empty range.

        Raises:
            ValueError: Where the stages or the scans' shape are not as above.
        """
        if not 0 <= start <= stop <= self.stage_count:
            raise ValueError(f"stages {start} to {stop}: expected 0 ≤ start ≤ stop ≤ {self.stage_count}")
        for stage in range(start, stop):
            x = self.run_stage(x, stage)
        return x

    def forward(self, scans: Tensor) -> Tensor:
        """Scans (B, 1, s, s, s) → features (B, channels, p, p, p)."""
        return self.run_stages(scans, 0, self.stage_count)

    def fresh_values(self, name: str, shape: torch.Size, rng: torch.Generator) -> Tensor:
        """Draw a parameter of a random encoder.

        Biases are 0, other vectors (the scales of norms) 1, convolutions normal with σ = 1/√fan-in, all else normal
        with σ = 0.02, positions included: a fresh encoder of SAM has them at zero, and its features would not depend on
        the place.
        """
        if name.endswith("bias"):
            return torch.zeros(shape)
        if len(shape) == 1:
            return torch.ones(shape)
        is_convolution = len(shape) == 5 and name.endswith("weight")
        sigma = shape[1:].numel() ** -0.5 if is_convolution else 0.02
        return torch.randn(shape, generator=rng) * sigma

    def from_released(self, stored: State) -> State:
        """The encoder's own state in a checkpoint as its authors released it, by the encoder's own names.

        Args:
            stored: The tensors of the file, by the authors' names, whatever else the file holds left out.
        """
        return stored


def initialise_random(encoder: Encoder, seed: int) -> None:
    """Draw every parameter afresh, in place: the same values for the same seed, on every machine."""
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            parameter.copy_(encoder.fresh_values(name, parameter.shape, torch_rng("encoder", seed, name)))
