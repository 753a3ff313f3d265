"""deepbet's brain-extraction network up to its third residual stage: pre-trained on real heads, without a download."""

import torch
from torch import Tensor

from fedtune3d._utils.state_dicts import State
from fedtune3d.models.encoders.contract import Encoder, EncoderSpec, FeatureSpec, InputSpec, Release
from fedtune3d.models.encoders.networks.link_net import WIDTHS, residual_stage, stem

RESIDUAL_STAGES = 3
"""Of four; see docs/encoders.md for how it was chosen."""

SPEC = EncoderSpec(
    name="deepbet",
    version=1,
    title="deepbet LinkNet encoder",
    input=InputSpec(size=128, spacing_mm=1.5, space="native", intensity="zscore"),
    features=FeatureSpec(channels=WIDTHS[RESIDUAL_STAGES - 1], positions=8),
    licence="MIT",
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


class DeepbetEncoder(Encoder):
    """(B, 1, 128, 128, 128) → (B, 64, 8, 8, 8). Stage 0 is the stem, the others are the residual stages."""

    spec = SPEC
    stage_count = 1 + RESIDUAL_STAGES

    def __init__(self) -> None:
        super().__init__()
        self.init = stem()
        for number, (before, after) in enumerate(zip(WIDTHS[:1] + WIDTHS, WIDTHS[:RESIDUAL_STAGES], strict=False)):
            self.add_module(f"down{number}", residual_stage(before, after))

    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        given: Tensor = self.init(standardise(x)) if stage == 0 else self.get_submodule(f"down{stage - 1}")(x)
        return given

    def stage_of(self, name: str) -> int:
        part = name.partition(".")[0]
        return 0 if part == "init" else 1 + int(part.removeprefix("down"))

    def from_released(self, stored: State) -> State:
        """Without the decoder and the last residual stage."""
        return {name: stored[name] for name in self.state_dict() if name in stored}


def standardise(scans: Tensor) -> Tensor:
    """Bring prepared scans onto the scale that deepbet's network was trained on.

    The background, 0 in a prepared scan, becomes as dark as the darkest voxels, as in a head; then each scan gets
    deepbet's mean and standard deviation.

    Args:
        scans: (B, 1, s, s, s), z-scored in the brain, 0 outside.
    """
    clipped = torch.where(scans == 0, -_CLIP, scans.clamp(-_CLIP, _CLIP))
    mean = clipped.mean(dim=(1, 2, 3, 4), keepdim=True)
    deviation = clipped.std(dim=(1, 2, 3, 4), keepdim=True)
    return _DEVIATION * (clipped - mean) / deviation + _MEAN


def build() -> Encoder:
    """The network with the weights of a fresh one."""
    return DeepbetEncoder()
