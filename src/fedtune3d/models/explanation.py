"""Where in a scan a model's answer comes from. What a map shows is the model, which need not be the disease."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from fedtune3d.models.classifier import Classifier

CUBE = 16  # voxels along each axis: a token of the encoder, 24 mm


def grad_cam(model: Classifier, scan: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2) on the features that the head takes.

    The score is the difference of the logits, positive class minus negative, so the map is what speaks for the
    positive class. It is as coarse as the features: 8 places along each axis, of 24 mm each.

    Args:
        model: In evaluation mode.
        scan: A prepared scan, (1, 1, 128, 128, 128) float32.

    Returns:
        (8, 8, 8) float32, at least 0.
    """
    last = model.stage_count - 1
    with torch.no_grad():
        features = model.run_stages(scan, 0, last)
    features.requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(_margin(model.run_stages(features, last, last + 1)).sum(), features)
    channel_weights = gradient.mean(dim=(2, 3, 4), keepdim=True)
    return (channel_weights * features.detach()).sum(dim=1)[0].relu()


def occlusion(
    model: nn.Module,
    scan: Tensor,
    brain: Tensor,
    *,
    stride: int = CUBE,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """How much the score falls when a cube of the scan is set to the brain's mean (Zeiler & Fergus 2014).

    Args:
        model: Scans (B, 1, s, s, s) → logits (B, 2), in evaluation mode.
        scan: A prepared scan, (1, 1, s, s, s) float32; 0 is the brain's mean.
        brain: (s, s, s) bool. Cubes without brain are not tried.
        stride: Voxels between cubes of `CUBE` voxels; each costs a forward pass.
        progress: Called with (cubes done, cubes in all).

    Returns:
        (s, s, s) float32: at each voxel of the brain the mean fall of the difference of the logits over the cubes that
        hold it; 0 outside. Positive where the scan speaks for the positive class.
    """
    size = scan.shape[-1]
    fall, cubes = torch.zeros(size, size, size), torch.zeros(size, size, size)
    corners = [corner for corner in _corners(size, stride) if bool(brain[_cube(corner)].any())]
    with torch.inference_mode():
        whole = _margin(model(scan))
        for done, corner in enumerate(corners, start=1):
            hidden = scan.clone()
            hidden[(0, 0, *_cube(corner))] = 0
            fall[_cube(corner)] += (whole - _margin(model(hidden))).item()
            cubes[_cube(corner)] += 1
            if progress is not None:
                progress(done, len(corners))
    return fall / cubes.clamp(min=1) * brain


def similarity(one: Tensor, other: Tensor) -> float:
    """The correlation of two maps of one shape; 0 where one of them is constant."""
    deviations = [(values.double() - values.double().mean()).flatten() for values in (one, other)]
    norms = deviations[0].norm() * deviations[1].norm()
    return float(deviations[0] @ deviations[1] / norms) if norms > 0 else 0.0


def _margin(logits: Tensor) -> Tensor:
    return logits[:, 1] - logits[:, 0]


def _corners(size: int, stride: int) -> Iterator[tuple[int, int, int]]:
    places = range(0, size - CUBE + 1, stride)
    return ((x, y, z) for x in places for y in places for z in places)


def _cube(corner: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    x, y, z = (slice(start, start + CUBE) for start in corner)
    return x, y, z
