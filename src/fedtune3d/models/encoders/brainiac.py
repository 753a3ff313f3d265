"""BrainIAC's ViT-B, pre-trained by contrastive learning on brain MRI (doi:10.1038/s41593-026-02202-6)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedtune3d._utils.state_dicts import State
from fedtune3d.models.encoders.contract import (
    AdaptableLayers,
    Encoder,
    EncoderSpec,
    FeatureSpec,
    InputSpec,
    Release,
)
from fedtune3d.models.linear import FastLinear, fast_linear

WIDTH, DEPTH, HEADS, HIDDEN, PATCH, POSITIONS = 768, 12, 12, 3072, 16, 6

SPEC = EncoderSpec(
    name="brainiac",
    version=1,
    title="BrainIAC ViT-B",
    input=InputSpec(size=96, spacing_mm=2.0, space="mni", intensity="zscore"),
    features=FeatureSpec(channels=WIDTH, positions=POSITIONS),
    licence="non-commercial, academic research only (see the authors' repository)",
    permissive=False,
    release=Release(
        file="BrainIAC.ckpt",
        source="https://github.com/AIM-KannLab/BrainIAC",
        size_bytes=None,
        sha256=None,
        loaded=False,
    ),
    adaptable=AdaptableLayers(
        depth=DEPTH,
        default_blocks=tuple(range(DEPTH)),
        layers={
            "q": ("attn.qkv.q",),
            "k": ("attn.qkv.k",),
            "v": ("attn.qkv.v",),
            "out": ("attn.out_proj",),
            "mlp": ("mlp.linear1", "mlp.linear2"),
        },
    ),
)


class PatchEmbedding(nn.Module):
    """Cubes of 16³ voxels as tokens, with learned positions: (B, 1, 96, 96, 96) → (B, 216, 768)."""

    def __init__(self) -> None:
        super().__init__()
        self.position_embeddings = nn.Parameter(torch.zeros(1, POSITIONS**3, WIDTH))
        self.patch_embeddings = nn.Conv3d(1, WIDTH, PATCH, stride=PATCH)

    def forward(self, scans: Tensor) -> Tensor:
        cubes = scans.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).unfold(4, PATCH, PATCH)
        tokens = cubes.reshape(len(scans), POSITIONS**3, PATCH**3)
        projection = self.patch_embeddings
        # A matrix product is several times faster than the strided convolution that it equals.
        return fast_linear(tokens, projection.weight.flatten(1), projection.bias) + self.position_embeddings


class Attention(nn.Module):
    """Multi-head attention of all tokens: (B, n, 768) → the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = FastLinear(WIDTH, 3 * WIDTH, bias=False)
        self.out_proj = FastLinear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = FastLinear(WIDTH, HIDDEN)
        self.linear2 = FastLinear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.linear2(functional.gelu(self.linear1(x)))
        return mapped


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(WIDTH), Attention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class BrainIac(Encoder):
    """MONAI's `ViT` with the tokens of its last norm as a map: (B, 1, 96, 96, 96) → (B, 768, 6, 6, 6).

    Stage 0 is the patch embedding, 1 … 12 are the blocks, 13 is the norm.
    """

    spec = SPEC
    stage_count = DEPTH + 2
    released_prefix: ClassVar[str] = "backbone."

    def __init__(self) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)

    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        if stage == 0:
            tokens: Tensor = self.patch_embedding(x)
            return tokens
        if stage <= DEPTH:
            mixed: Tensor = self.blocks[stage - 1](x)
            return mixed
        features: Tensor = self.norm(x).transpose(1, 2).unflatten(2, (POSITIONS,) * 3).contiguous()
        return features

    def stage_of(self, name: str) -> int:
        part, _, rest = name.partition(".")
        if part == "blocks":
            return 1 + int(rest.partition(".")[0])
        return DEPTH + 1 if part == "norm" else 0

    def from_released(self, stored: State) -> State:
        """Without the norms of MONAI's cross-attention, which the network does not use."""
        return {name: tensor for name, tensor in stored.items() if ".norm_cross_attn." not in name}


def build() -> Encoder:
    """With the weights of a fresh network."""
    return BrainIac()
