"""OpenMind's ResEnc-L, pre-trained by masked autoencoding on 114,000 brain volumes (arXiv 2412.17041)."""

from typing import ClassVar

from torch import Tensor, nn

from fedtune3d._utils.state_dicts import State
from fedtune3d.models.encoders.contract import Encoder, EncoderSpec, FeatureSpec, InputSpec, Release
from fedtune3d.models.encoders.networks.residual_encoder import ResidualBlock, conv_norm_act

WIDTHS = (32, 64, 128, 256, 320)
BLOCKS = (1, 3, 4, 6, 6)
"""Of the six stages of the U-Net's encoder the first five, to stride 16."""

SPEC = EncoderSpec(
    name="openmind_resenc",
    version=1,
    title="OpenMind ResEnc-L",
    input=InputSpec(size=160, spacing_mm=1.0, space="native", intensity="zscore"),
    features=FeatureSpec(channels=WIDTHS[-1], positions=10),
    licence="CC-BY-4.0",
    cohorts=("OpenNeuro",),
    release=Release(
        file="checkpoint_final.pth",
        source="https://huggingface.co/AnonRes/ResEncL-OpenMind-MAE",
        size_bytes=None,
        sha256=None,
        loaded=False,
    ),
)


class OpenMindEncoder(Encoder):
    """(B, 1, 160, 160, 160) → (B, 320, 10, 10, 10). Stage 0 is the stem, the others are the residual stages."""

    spec = SPEC
    stage_count = 1 + len(WIDTHS)
    released_prefix: ClassVar[str] = "encoder."

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleDict({"convs": nn.Sequential(conv_norm_act(1, WIDTHS[0]))})
        self.stages = nn.ModuleList(
            nn.ModuleDict({"blocks": _blocks(before, after, count, stride=1 if number == 0 else 2)})
            for number, (before, after, count) in enumerate(zip(WIDTHS[:1] + WIDTHS, WIDTHS, BLOCKS, strict=False))
        )

    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        layer = "stem.convs" if stage == 0 else f"stages.{stage - 1}.blocks"
        given: Tensor = self.get_submodule(layer)(x)
        return given

    def stage_of(self, name: str) -> int:
        part, number, *_ = name.split(".")
        return 0 if part == "stem" else 1 + int(number)

    def from_released(self, stored: State) -> State:
        """Without the last stage, and without the second name that the authors' package gives every tensor."""
        own = self.state_dict()
        return {name: tensor for name, tensor in stored.items() if name in own} or stored


def _blocks(before: int, after: int, count: int, stride: int) -> nn.Sequential:
    first = ResidualBlock(before, after, stride)
    return nn.Sequential(first, *(ResidualBlock(after, after, 1) for _ in range(count - 1)))


def build() -> Encoder:
    """With the weights of a fresh network."""
    return OpenMindEncoder()
