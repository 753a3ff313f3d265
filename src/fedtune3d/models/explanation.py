"""Saliency maps: the parts of a scan that a model's output depends on. They show the model, not the disease."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fedtune3d.models.classifier import Classifier


def grad_cam(model: Classifier, features: Tensor, of: int | None = None) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2) on the features that the head takes.

    The map shows evidence for a class, or what raises a number (`score_of`). Its resolution is that of the features.

    Args:
        model: In evaluation mode.
        features: Features of a prepared scan, (1, channels, p, p, p) float32: the output of all stages but the last.
        of: The index of the class; None for the last one.

    Returns:
        (p, p, p) float32, at least 0.
    """
    last = model.stage_count - 1
    features = features.detach().clone().requires_grad_()
    with torch.enable_grad():
        outputs = model.run_stages(features, last, last + 1)
        (gradient,) = torch.autograd.grad(score_of(outputs, of).sum(), features)
    channel_weights = gradient.mean(dim=(2, 3, 4), keepdim=True)
    return (channel_weights * features.detach()).sum(dim=1)[0].relu()


def integrated_gradients(
    model: nn.Module,
    scan: Tensor,
    *,
    steps: int = 16,
    of: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365, equation 1), a value for every voxel.

    The score is that of `score_of`. The baseline is a brain that has its mean everywhere, which is 0 in a
    prepared scan; so what lies outside the brain gets 0, and the map sums to the score minus the baseline's, up to the
    error of the midpoint rule by which we integrate.

    Args:
        model: Scans (B, 1, s, s, s) → outputs (B, k), in evaluation mode.
        scan: A prepared scan, (1, 1, s, s, s) float32.
        steps: Points of the path; each costs a forward and a backward pass.
        of: The index of the class; None for the last one.
        progress: Called with (steps done, steps in all).

    Returns:
        (s, s, s) float32, positive where the scan is evidence for the class.
    """
    total = torch.zeros_like(scan)
    for step in range(steps):
        point = ((step + 0.5) / steps * scan).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(score_of(model(point), of).sum(), point)
        total += gradient
        if progress is not None:
            progress(step + 1, steps)
    return (total / steps * scan)[0, 0]


def occlusion(
    model: nn.Module,
    scan: Tensor,
    brain: Tensor,
    width: int,
    *,
    of: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Drop of the score when a cube of the scan is set to the brain's mean (Zeiler & Fergus 2014).

    Args:
        model: Scans (B, 1, s, s, s) → outputs (B, k), in evaluation mode.
        scan: A prepared scan, (1, 1, s, s, s) float32; 0 is the brain's mean, or black.
        brain: (s, s, s) bool. Cubes without brain are not tried; each of the others costs a forward pass.
        width: Voxels of a cube along each axis; divides s.
        of: The index of the class; None for the last one.
        progress: Called with (cubes done, cubes in all).

    Returns:
        (s/width, s/width, s/width) float32: for each cube the drop of the score (`score_of`), positive where
        the cube is evidence for the class; 0 where there is no brain.
    """
    places = scan.shape[-1] // width
    drop = torch.zeros(places, places, places)
    tried = places_of(brain.float(), width).nonzero().tolist()
    with torch.inference_mode():
        unhidden = score_of(model(scan), of)
        for done, place in enumerate(tried, start=1):
            x, y, z = (slice(width * index, width * (index + 1)) for index in place)
            hidden = scan.clone()
            hidden[0, 0, x, y, z] = 0
            drop[tuple(place)] = (unhidden - score_of(model(hidden), of)).item()
            if progress is not None:
                progress(done, len(tried))
    return drop


def places_of(volume: Tensor, width: int) -> Tensor:
    """Sum over each cube of `width` voxels: (s, s, s) → (s/width, s/width, s/width)."""
    return nn.functional.avg_pool3d(volume[None, None], width)[0, 0] * width**3


def similarity(first: Tensor, second: Tensor) -> float:
    """Pearson's correlation of two maps of one shape; 0 where either is constant."""
    correlation = torch.corrcoef(torch.stack([first.double().flatten(), second.double().flatten()]))[0, 1]
    return float(correlation.nan_to_num())


def score_of(outputs: Tensor, of: int | None = None) -> Tensor:
    """Return what a map explains, (B,): the log-odds of a class against all others, or the number itself.

    Args:
        outputs: (B, k), a logit per class, or one number.
        of: The index of the class; None for the last one, which of two is the positive one.
    """
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    own = outputs.shape[1] - 1 if of is None else of
    if outputs.shape[1] == 2:
        return outputs[:, own] - outputs[:, 1 - own]
    others = [label for label in range(outputs.shape[1]) if label != own]
    return outputs[:, own] - outputs[:, others].logsumexp(dim=1)
