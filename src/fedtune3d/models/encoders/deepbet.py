"""The encoder of deepbet's brain-extraction network, pre-trained on real heads; needs no download."""

import torch
from torch import Tensor, nn

from fedtune3d._utils.state_dicts import State
from fedtune3d.models.encoders.contract import Encoder, EncoderSpec, FeatureSpec, InputSpec, Release
from fedtune3d.models.encoders.networks.deepbet_scale import DEVIATION, MEAN
from fedtune3d.models.encoders.networks.link_net import WIDTHS, residual_stage, stem
from fedtune3d.models.exact_pooling import mean_pool, repeat_nearest

POSITIONS = 8

SPEC = EncoderSpec(
    name="deepbet",
    version=3,
    title="deepbet LinkNet encoder",
    input=InputSpec(size=128, spacing_mm=1.5, space="native", intensity="zscore"),
    features=FeatureSpec(channels=sum(WIDTHS), positions=POSITIONS),
    licence="MIT",
    cohorts=("OpenNeuro",),
    release=Release(
        file="model.pt",
        source="deepbet 1.0.2 (PyPI)",
        size_bytes=8698000,
        sha256="de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
        loaded=True,
        package="deepbet",
        package_path="data/models/model.pt",
    ),
)

_CLIP = 3.0  # standard deviations of the brain; deepbet clips at the 0.5th and 99.5th percentile of the head
_MEAN, _DEVIATION = 0.449, 0.226  # to which deepbet standardises


class ChannelScale(nn.Module):
    """A factor and an offset for each channel of (B, channels, p, p, p)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None, None] + self.bias[:, None, None, None]


class DeepbetEncoder(Encoder):
    """(B, 1, 128, 128, 128) → (B, 240, 8, 8, 8): the maps of all four residual stages, each brought to 8³.

    With deepbet's weights each channel is standardised by its mean and standard deviation over simulated people
    (`deepbet_scale`): over people the pooled features vary by 2% of their size, from which a linear head would learn
    little. A random encoder keeps its features.

    One stage: a head takes all of the maps, so nothing shorter than the whole network could be kept. Why all four:
    see docs/encoders.md.
    """

    spec = SPEC
    stage_count = 1

    def __init__(self) -> None:
        super().__init__()
        self.init = stem()
        for number, (before, after) in enumerate(zip(WIDTHS[:1] + WIDTHS, WIDTHS, strict=False)):
            self.add_module(f"down{number}", residual_stage(before, after))
        self.scale = ChannelScale(sum(WIDTHS))

    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        x = self.init(standardise(x))
        maps = []
        for number in range(len(WIDTHS)):
            x = self.get_submodule(f"down{number}")(x)
            maps.append(to_positions(x))
        scaled: Tensor = self.scale(torch.cat(maps, dim=1))
        return scaled

    def stage_of(self, name: str) -> int:
        return 0

    def from_released(self, stored: State) -> State:
        """Drop the decoder, and add the scale of the channels, which the released file does not have."""
        mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
        scale = {"scale.weight": 1 / deviation, "scale.bias": -mean / deviation}
        return scale | {name: stored[name] for name in self.state_dict() if name in stored}


def to_positions(maps: Tensor) -> Tensor:
    """Resample (B, C, s, s, s) to (B, C, 8, 8, 8): finer maps by averaging, coarser ones by repetition.

    The mean over positions, the input of a linear head, is unchanged.
    """
    if maps.shape[-1] < POSITIONS:
        return repeat_nearest(maps, POSITIONS)
    return mean_pool(maps, POSITIONS)


def standardise(scans: Tensor) -> Tensor:
    """Convert prepared scans to the intensity scale on which deepbet's network was trained.

    The background, 0 in a prepared scan, becomes as dark as the darkest voxels, as in a head. Then each scan is
    standardised to deepbet's mean and standard deviation.

    Args:
        scans: (B, 1, s, s, s), z-scored in the brain, 0 outside.
    """
    clipped = torch.where(scans == 0, -_CLIP, scans.clamp(-_CLIP, _CLIP))
    mean = clipped.mean(dim=(1, 2, 3, 4), keepdim=True)
    deviation = clipped.std(dim=(1, 2, 3, 4), keepdim=True)
    return _DEVIATION * (clipped - mean) / deviation + _MEAN


def build() -> Encoder:
    """Build the network, with its initial weights."""
    return DeepbetEncoder()
