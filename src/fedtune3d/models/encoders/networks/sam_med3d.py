"""The image encoder of SAM-Med3D, exact and without the cost of its padded windows.

Same parameters, names and outputs as `ImageEncoderViT3D` of `medim` 0.1.2 (Apache-2.0; SAM-Med3D, arXiv 2310.15161),
with which the released weights were trained. Its windows of 14³ tokens are padded from 8³; here all padded keys of a
window are one virtual key (see `padding_logit`), and padded queries, whose outputs are unused, are left out.
"""

from collections.abc import Sequence
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedtune3d.models.encoders.contract import (
    AdaptableLayers,
    Encoder,
    EncoderSpec,
    FeatureSpec,
    InputSpec,
    Projection,
    Release,
)
from fedtune3d.models.encoders.networks.attention import attend
from fedtune3d.models.linear import FastLinear, fast_linear

VERSION = 2
"""Must be increased with every change to this file or to `attention` that changes the features by even a bit."""

LAYERS: dict[Projection, tuple[str, ...]] = {
    "q": ("attn.qkv.q",),
    "k": ("attn.qkv.k",),
    "v": ("attn.qkv.v",),
    "out": ("attn.proj",),
    "mlp": ("mlp.lin1", "mlp.lin2"),
}
"""Layers of a block that LoRA can adapt."""


def sam_med3d_spec(
    name: str,
    title: str,
    depth: int,
    global_blocks: Sequence[int],
    size: int = 128,
    positions: int = 8,
    channels: int = 384,
    release: Release | None = None,
) -> EncoderSpec:
    """Return the specification of an encoder of this architecture, with the input of the released weights."""
    return EncoderSpec(
        name=name,
        version=VERSION,
        title=title,
        input=InputSpec(size=size, spacing_mm=1.5, space="native", intensity="zscore"),
        features=FeatureSpec(channels, positions),
        licence="Apache-2.0",
        release=release,
        adaptable=AdaptableLayers(depth, tuple(sorted(global_blocks)), LAYERS),
        head="conv_s",
    )


class PatchEmbedding(nn.Module):
    """Projection of non-overlapping cubes: (B, C, X, Y, Z) → (B, X/p, Y/p, Z/p, embed_dim)."""

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv3d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, scans: Tensor) -> Tensor:
        size = self.patch_size
        batch, channels, *shape = scans.shape
        x, y, z = (extent // size for extent in shape)
        cubes = scans.reshape(batch, channels, x, size, y, size, z, size).permute(0, 2, 4, 6, 1, 3, 5, 7)
        # A matrix product is several times faster than the equivalent strided convolution.
        return fast_linear(cubes.reshape(batch, x, y, z, -1), self.proj.weight.flatten(1), self.proj.bias)


class MLPBlock(nn.Module):
    """Two linear layers with a GELU between, over the last axis."""

    def __init__(self, embedding_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.lin1 = FastLinear(embedding_dim, mlp_dim)
        self.lin2 = FastLinear(mlp_dim, embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.lin2(functional.gelu(self.lin1(x)))
        return tokens


class LayerNorm3d(nn.Module):
    """Layer normalisation over the channels of (B, C, X, Y, Z)."""

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        channels_last = x.movedim(1, -1)
        return functional.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps).movedim(-1, 1)


def window_spans(extent: int, size: int) -> list[tuple[int, int, int]]:
    """Return the windows along an axis as (start, stop, real tokens per window): full windows, then the padded one."""
    full = extent // size * size
    spans = [(0, full, size)] if full else []
    return spans if full == extent else [*spans, (full, extent, extent - full)]


class Attention(nn.Module):
    """Multi-head attention over windows of tokens, channels last.

    `qkv` and `proj` are called as modules, so an adapter may take their place.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.qkv = FastLinear(dim, dim * 3, bias=qkv_bias)
        self.proj = FastLinear(dim, dim)
        self.rel_pos_d, self.rel_pos_h, self.rel_pos_w = (
            nn.Parameter(torch.zeros(2 * window_size - 1, dim // num_heads)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W, dim) → the same shape."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        padding = self._padding(x) if any(extent % self.window_size for extent in x.shape[1:4]) else None
        with torch.autocast(x.device.type, enabled=False):
            # Attention stays in float32 on a CPU.
            dtype = self.rel_pos_d.dtype if x.device.type == "cpu" else qkv.dtype
            attended = self._attend_in_windows(qkv.to(dtype), None if padding is None else padding.to(dtype))
        projected: Tensor = self.proj(attended.flatten(4))
        return projected

    def _padding(self, x: Tensor) -> Tensor:
        """Return query, key and value of a padded token, (3, heads, c), which is zero before the projection."""
        if type(self.qkv) is FastLinear and self.qkv.bias is not None:
            return self.qkv.bias.view(3, self.num_heads, -1)
        padding: Tensor = self.qkv(x.new_zeros(1, x.shape[-1])).view(3, self.num_heads, -1)
        return padding

    def _attend_in_windows(self, qkv: Tensor, padding: Tensor | None) -> Tensor:
        """(B, D, H, W, 3, heads, c) → (B, D, H, W, heads, c)."""
        tables = (self.rel_pos_d, self.rel_pos_h, self.rel_pos_w)
        shape = qkv.shape[1:4]
        answers = []
        groups = list(product(*(window_spans(extent, self.window_size) for extent in shape)))
        for spans in groups:
            where = (slice(None), *(slice(start, stop) for start, stop, _ in spans))
            real = [places for _, _, places in spans]
            windows = split_windows(qkv[where], real)
            trainable = attend(windows, tables, None if min(real) == self.window_size else padding)
            answers.append(join_windows(trainable, len(qkv), [stop - start for start, stop, _ in spans]))
        if len(groups) == 1:
            return answers[0]
        attended = torch.empty_like(qkv[..., 0, :, :])
        for spans, trainable in zip(groups, answers, strict=True):
            attended[(slice(None), *(slice(start, stop) for start, stop, _ in spans))] = trainable
        return attended


def split_windows(qkv: Tensor, real: Sequence[int]) -> Tensor:
    """(B, D, H, W, 3, heads, c) → (3, windows, heads, d, h, w, c) for windows of `real` places that divide the axes."""
    batch, *shape = qkv.shape[:4]
    counts = [extent // places for extent, places in zip(shape, real, strict=True)]
    pairs = [length for pair in zip(counts, real, strict=True) for length in pair]
    split = qkv.reshape(batch, *pairs, *qkv.shape[4:]).permute(7, 0, 1, 3, 5, 8, 2, 4, 6, 9)
    return split.reshape(3, batch * counts[0] * counts[1] * counts[2], qkv.shape[5], *real, qkv.shape[6])


def join_windows(windows: Tensor, batch: int, shape: Sequence[int]) -> Tensor:
    """(windows, heads, d, h, w, c) → (B, D, H, W, heads, c), undoing `split_windows`."""
    real = windows.shape[2:5]
    counts = [extent // places for extent, places in zip(shape, real, strict=True)]
    split = windows.reshape(batch, *counts, *windows.shape[1:])
    return split.permute(0, 1, 5, 2, 6, 3, 7, 4, 8).reshape(batch, *shape, windows.shape[1], windows.shape[5])


class Block(nn.Module):
    """A pre-norm transformer block on tokens (B, D, H, W, dim)."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, qkv_bias: bool, window_size: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads, qkv_bias, window_size)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLPBlock(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        tokens: Tensor = x + self.mlp(self.norm2(x))
        return tokens


class ImageEncoder3D(Encoder):
    """The ViT encoder of SAM-Med3D: scans (B, in_chans, s, s, s) → features (B, out_chans, s/p, s/p, s/p).

    A chain of `stage_count` stages, so that a leading part can be run once and kept: stage 0 is the patch embedding
    with the positions, stages 1 … depth are the blocks, the last is the neck.

    Args:
        img_size: Voxels along each axis of a scan (axes RAS, 1.5 mm, z-scored in the brain, for the released weights).
        patch_size: Voxels along each axis of a patch.
        in_chans: Channels of a scan.
        embed_dim: Channels of a token.
        depth: Number of blocks.
        num_heads: Attention heads; divides `embed_dim`.
        mlp_ratio: Hidden channels of a block's MLP per channel of a token.
        out_chans: Channels of the features.
        qkv_bias: Whether the projection to queries, keys and values has a bias.
        window_size: Tokens along each axis of a window.
        global_attn_indexes: The blocks that attend over all tokens instead of windows.
        neck_kernel_size: Odd extent of the neck's second convolution; the reference's is 3.
    """

    released_prefix: ClassVar[str] = "image_encoder."

    def __init__(
        self,
        img_size: int = 128,
        patch_size: int = 16,
        in_chans: int = 1,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        out_chans: int = 384,
        qkv_bias: bool = True,
        window_size: int = 14,
        global_attn_indexes: Sequence[int] = (2, 5, 8, 11),
        neck_kernel_size: int = 3,
    ) -> None:
        super().__init__()
        self.in_chans, self.img_size = in_chans, img_size
        self.embed_dim, self.depth = embed_dim, depth
        grid = img_size // patch_size
        self.spec = sam_med3d_spec("sam_med3d", "SAM-Med3D", depth, global_attn_indexes, img_size, grid, out_chans)
        self.patch_embed = PatchEmbedding(patch_size, in_chans, embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, grid, embed_dim))
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio, qkv_bias, grid if index in global_attn_indexes else window_size)
            for index in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv3d(embed_dim, out_chans, kernel_size=1, bias=False),
            LayerNorm3d(out_chans),
            nn.Conv3d(out_chans, out_chans, neck_kernel_size, padding=neck_kernel_size // 2, bias=False),
            LayerNorm3d(out_chans),
        )

    @property
    def stage_count(self) -> int:
        """The number of stages: the patch embedding, the blocks and the neck."""
        return self.depth + 2

    def stage_of(self, name: str) -> int:
        """Return the stage of a name: 0 for embedding and positions, 1 … depth for the blocks, then the neck."""
        part, _, rest = name.partition(".")
        if part == "blocks":
            return 1 + int(rest.partition(".")[0])
        return self.depth + 1 if part == "neck" else 0

    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        """Scans → tokens (B, D, H, W, embed_dim) → … → features (B, out_chans, D, H, W) after the neck."""
        if stage == 0:
            expected = (self.in_chans, self.img_size, self.img_size, self.img_size)
            if x.shape[1:] != expected:
                raise ValueError(f"scans of shape {tuple(x.shape)}: expected (B, {', '.join(map(str, expected))})")
            tokens: Tensor = self.patch_embed(x) + self.pos_embed
            return tokens
        if stage <= self.depth:
            return self._run_block(x, self.blocks[stage - 1])
        return self._run_neck(x)

    def _run_block(self, x: Tensor, block: nn.Module) -> Tensor:
        """Run a block; without gradients on a CPU scan by scan, whose hidden layers then stay in the cache."""
        by_scan = len(x) > 1 and x.device.type == "cpu" and not torch.is_grad_enabled()
        mixed: Tensor = torch.cat([block(scan) for scan in x.split(1)]) if by_scan else block(x)
        return mixed

    def _run_neck(self, x: Tensor) -> Tensor:
        """Run the neck on tokens (B, D, H, W, embed_dim), with its first convolution (1×1×1) as a matrix product."""
        x = fast_linear(x, self.neck[0].get_parameter("weight").flatten(1), None).movedim(-1, 1)
        # Channels first: with channels last, oneDNN's convolution took 20% longer, forward and backward.
        x = self.neck[2](self.neck[1](x).contiguous())
        features: Tensor = self.neck[3](x).contiguous()
        return features
