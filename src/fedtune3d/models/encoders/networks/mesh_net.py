"""MeshNet, which segments a brain into 18 classes with dilated convolutions (Fedorov et al. 2017, arXiv 1612.00940).

As in brainchop's `model18cls` (MIT): same parameters and names (``model.0.weight`` …), same outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 21
DILATIONS = (1, 2, 4, 8, 16, 8, 4, 2, 1)
CLASSES = (
    *("unknown", "cerebral white matter", "cerebral cortex", "lateral ventricle", "inferior lateral ventricle"),
    *("cerebellar white matter", "cerebellar cortex", "thalamus", "caudate", "putamen", "pallidum"),
    *("3rd ventricle", "4th ventricle", "brain stem", "hippocampus", "amygdala", "accumbens", "ventral diencephalon"),
)
"""Classes in the order of the output's channels, both hemispheres combined."""


def layers() -> nn.Sequential:
    """Build the ten convolutions and the ELUs between them, numbered as in brainchop."""
    modules: list[nn.Module] = []
    for number, dilation in enumerate(DILATIONS):
        before = 1 if number == 0 else CHANNELS
        modules += [nn.Conv3d(before, CHANNELS, 3, padding=dilation, dilation=dilation), nn.ELU(inplace=True)]
    return nn.Sequential(*modules, nn.Conv3d(CHANNELS, len(CLASSES), 1))


def run_layer(model: nn.Sequential, x: Tensor, number: int) -> Tensor:
    """Run one of the ten convolutions on the output of the one before.

    The first takes scans (B, 1, x, y, z) from 0 to 1 at 1 mm, the others 21 channels; the last returns logits
    (B, 18, x, y, z). The network was trained on FreeSurfer's axes (left, inferior, anterior), so scans in RAS order are
    reoriented before the first convolution, and logits back after the last.
    """
    if number == 0:
        x = to_lia(x)
    x = model[2 * number](x)
    if number == len(DILATIONS):
        return to_ras(x)
    given: Tensor = model[2 * number + 1](x)
    return given


SLAB = 32
"""Slices that are computed at once; at least the greatest dilation."""


def segment_in_slabs(model: nn.Sequential, scans: Tensor) -> Tensor:
    """Run all layers and the softmax with the memory of one set of maps instead of two and a layer's workspace.

    Each layer replaces its input slab by slab; the slices that the next slab still reads are kept. Without gradients
    only. Equal to the layers of `run_layer` in turn but for rounding.

    Args:
        model: The network.
        scans: (B, 1, x, y, z) from 0 to 1 at 1 mm, axes RAS.

    Returns:
        The share of each class in each voxel, (B, 18, …), axes LIA.
    """
    source = to_lia(scans)
    depth = source.shape[2]
    slabs = [(start, min(start + SLAB, depth)) for start in range(0, depth, SLAB)]
    maps = source.new_empty(len(source), CHANNELS, *source.shape[2:])
    for number, dilation in enumerate(DILATIONS):
        _convolve_in_slabs(model[2 * number], source, maps, dilation, slabs)  # type: ignore[arg-type]
        source = maps
    shares = maps[:, : len(CLASSES)]
    for start, stop in slabs:
        shares[:, :, start:stop] = model[2 * len(DILATIONS)](maps[:, :, start:stop]).softmax(dim=1)
    return shares


def _convolve_in_slabs(
    layer: nn.Conv3d, source: Tensor, target: Tensor, dilation: int, slabs: Sequence[tuple[int, int]]
) -> None:
    """Write ELU(layer(source)) to `target`, which may be `source`."""
    edge = source.new_zeros(*source.shape[:2], dilation, *source.shape[3:])
    before = edge
    for start, stop in slabs:
        after = source[:, :, stop : stop + dilation]
        missing = edge[:, :, : dilation - after.shape[2]]
        window = torch.cat([before, source[:, :, start:stop], after, missing], dim=2)
        before = source[:, :, stop - dilation : stop].clone()
        padding = (0, dilation, dilation)
        output = functional.conv3d(window, layer.weight, layer.bias, padding=padding, dilation=dilation)
        target[:, :, start:stop] = functional.elu(output, inplace=True)


def to_lia(volumes: Tensor) -> Tensor:
    """Reorient (B, C, x, y, z) from axes right, anterior, superior to left, inferior, anterior."""
    return torch.flip(volumes.permute(0, 1, 2, 4, 3), dims=(2, 3)).contiguous()


def to_ras(volumes: Tensor) -> Tensor:
    """Undo `to_lia`."""
    return torch.flip(volumes, dims=(2, 3)).permute(0, 1, 2, 4, 3).contiguous()
