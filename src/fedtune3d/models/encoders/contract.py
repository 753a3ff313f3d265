"""The contract of an encoder: its specification, and its network as a chain of stages."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import State

Intensity = Literal["zscore", "white_stripe", "histogram", "minmax", "none"]
INTENSITIES: tuple[Intensity, ...] = get_args(Intensity)
Projection = Literal["q", "k", "v", "out", "mlp"]


@dataclass(frozen=True)
class InputSpec:
    """The input of an encoder. Prepared scans are skull-stripped brains with one channel and axes RAS.

    An encoder whose network was trained with another orientation reorients the scan in its first stage and the features
    in its last, so that orientation matters nowhere else.

    Attributes:
        size: Voxels along each axis.
        spacing_mm: Voxel size.
        space: ``mni`` if brains are also registered to MNI152; ``native`` if they are not (see
            `preparation.prepare_scan`).
        intensity: Scale of the voxels in the brain (`preparation.intensity.normalise_intensity`); 0 outside.
        fixed_size: Whether the network accepts only this size.
    """

    size: int = 128
    spacing_mm: float = 1.5
    space: Literal["native", "mni"] = "native"
    intensity: Intensity = "zscore"
    fixed_size: bool = True


@dataclass(frozen=True)
class FeatureSpec:
    """The features of a scan, (channels, positions, positions, positions).

    Features with a single position are a vector without spatial information.
    """

    channels: int
    positions: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the features of a scan."""
        return self.channels, self.positions, self.positions, self.positions

    @property
    def is_vector(self) -> bool:
        """True if there is only one position."""
        return self.positions == 1


@dataclass(frozen=True)
class AdaptableLayers:
    """The layers that LoRA can adapt.

    Attributes:
        depth: Number of blocks; block `n` is the module ``blocks.n``.
        default_blocks: The blocks that ``global`` selects: those whose attention spans the whole scan.
        layers: Projection → its layers, named from the block on. Those of q, k and v are the parts of `fused`.
        fused: The layer that projects to q, k and v at once.
    """

    depth: int
    default_blocks: tuple[int, ...]
    layers: Mapping[Projection, tuple[str, ...]] = field(hash=False)
    fused: str = "attn.qkv"


@dataclass(frozen=True)
class Release:
    """A file of released weights.

    Attributes:
        file: Name of the file.
        source: The package or page that it comes from, for messages.
        size_bytes: Size of the file; None if only its source states it.
        sha256: SHA-256 of the file; None if only its source states it.
        loaded: Whether it was tested with the authors' file, not only with files of the same format.
        package: The installed package that contains it; empty if it is downloaded or copied.
        package_path: Its path relative to the folder of the package.
    """

    file: str
    source: str
    size_bytes: int | None
    sha256: str | None
    loaded: bool
    package: str = ""
    package_path: str = ""


@dataclass(frozen=True)
class EncoderSpec:
    """The specification of an encoder; every other part of the program relies on it.

    Attributes:
        name: The name in the experiment file.
        version: Must be increased with every change to the code that changes the features by even a bit. Part of the
            feature cache's keys, together with the name.
        title: Name in reports.
        input: Specification of the input.
        features: Shape of the features.
        licence: Licence of the released weights, or of the code if no weights are released.
        permissive: Whether the licence allows any use; of others the terms must be accepted in the experiment file.
        cohorts: Public cohorts whose scans it was pre-trained on, by the names that studies use; None if not known.
        release: Released weights; None if there are none.
        adaptable: Layers that LoRA can adapt; None without attention.
        head: The head to begin with, which `init` writes next to the encoder.
        code_sha256: SHA-256 of the encoder's file if it is not part of this package; else empty.
    """

    name: str
    version: int
    title: str
    input: InputSpec
    features: FeatureSpec
    licence: str
    permissive: bool = True
    cohorts: tuple[str, ...] | None = None
    release: Release | None = None
    adaptable: AdaptableLayers | None = None
    head: str = "linear"
    code_sha256: str = ""

    @property
    def is_packaged(self) -> bool:
        """True if the released weights are part of a package and need no download."""
        return self.release is not None and bool(self.release.package)


class Encoder(nn.Module, ABC):
    """Scans (B, 1, s, s, s) → features (B, channels, p, p, p), as a chain of stages that can be cut after any of them.

    A leading part without trained parameters is run once per scan, and its output is cached.
    `fedtune3d.testing.check_encoder` checks an encoder.

    Attributes:
        spec: Its specification.
        released_prefix: Before the encoder's names in a checkpoint as its authors released it; what has another prefix
            is left out there.
    """

    spec: EncoderSpec
    released_prefix: ClassVar[str] = ""

    @property
    @abstractmethod
    def stage_count(self) -> int:
        """The number of stages, at least 1."""

    @abstractmethod
    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        """Run one stage on the output of the stage before; stage 0 on scans."""

    @abstractmethod
    def stage_of(self, name: str) -> int:
        """Return the stage that reads the parameter or buffer of this name."""

    @property
    def out_channels(self) -> int:
        """Channels of the features."""
        return self.spec.features.channels

    def run_stages(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Run the stages `start` … `stop` − 1.

        Args:
            x: Scans (B, 1, s, s, s) if `start` is 0, else the output of stage `start` − 1.
            start: The first stage, 0 ≤ start ≤ stop.
            stop: The stage after the last one, at most `stage_count`.

        Returns:
            The output of stage `stop` − 1, which is the features for the last stage; `x` for an empty range.

        Raises:
            ValueError: If the stages or the scans' shape are not as above.
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

        Biases are 0, other vectors (the scales of norms) 1, convolutions normal with σ = 1/√fan-in, and all else normal
        with σ = 0.02. This includes position embeddings, which SAM initialises to zero: its features would not depend
        on position.
        """
        if name.endswith("bias"):
            return torch.zeros(shape)
        if len(shape) == 1:
            return torch.ones(shape)
        is_convolution = len(shape) == 5 and name.endswith("weight")
        sigma = shape[1:].numel() ** -0.5 if is_convolution else 0.02
        return torch.randn(shape, generator=rng) * sigma

    def from_released(self, stored: State) -> State:
        """Convert a checkpoint as released by the encoder's authors to the encoder's own parameter names.

        Args:
            stored: The tensors of the file under the authors' names, without any other content of the file.
        """
        return stored


def initialise_random(encoder: Encoder, seed: int) -> None:
    """Initialise every parameter randomly, in place; the values depend only on the seed, not on the machine."""
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            parameter.copy_(encoder.fresh_values(name, parameter.shape, torch_rng("encoder", seed, name)))
