"""deepbet's two networks, with the parts that take half of their time computed faster."""

import torch
from torch import Tensor
from torch.nn import functional

SIZE, COARSE_SIZE = 256, 128  # voxels per axis of the networks' inputs
MARGIN = 0.1  # of the brain's extent, on each side of the box that the fine network sees
MEAN, DEVIATION = 0.449, 0.226  # of the networks' inputs
_EPSILON = 1e-5  # added to variances by instance normalisation


class BrainNetwork:
    """A network of deepbet's, for the decision "brain" (probability over 0.5).

    Same parameters and convolutions as the TorchScript module. The stem is pooled before its instance normalisation,
    which keeps the order of values, so the latter runs on an eighth of the voxels; the last layer and the softmax over
    two classes become the sign of one difference.

    Args:
        scripted: deepbet's module; its parts are called by their names in version 1.0.2.

    Raises:
        KeyError: If it has no such parts.
    """

    def __init__(self, scripted: torch.nn.Module) -> None:
        self._parts = dict(scripted.named_modules())
        self._stem = self._parts["init.0"]
        self._relu = self._parts["conv.2"]
        last = self._parts["tp_conv2"]
        self._weight = (last.weight[:, 1] - last.weight[:, 0]).detach()  # (channels, 2, 2, 2)
        self._bias = (last.bias[1] - last.bias[0]).detach()
        self.device: torch.device = self._weight.device

    @torch.no_grad()
    def __call__(self, scan: Tensor) -> Tensor:
        """(s, s, s), rescaled → bool (s, s, s); `s` is a multiple of 32."""
        maps = [_pool_normalised(self._stem(scan[None, None]))]
        for number in range(4):
            maps.append(self._parts[f"down{number}"](self._relu, maps[-1]))
        x = maps.pop()
        for number in range(4):
            x = self._parts[f"up{number}"](self._relu, x) + maps.pop()
        x = self._parts["conv"](self._parts["tp_conv1"](self._relu, x))
        return self._decide(x[0])

    def _decide(self, x: Tensor) -> Tensor:
        """(channels, d, h, w) → (2d, 2h, 2w): a transposed convolution with a kernel and stride of 2, over 0."""
        d, h, w = x.shape[1:]
        over: Tensor = (self._weight.flatten(1).T @ x.flatten(1) > -self._bias).view(2, 2, 2, d, h, w)
        return over.permute(3, 0, 4, 1, 5, 2).reshape(2 * d, 2 * h, 2 * w)


def rescale(scan: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Standardise voxels in place as deepbet does, after those from `low` to `high` became 0 to 1, clipped."""
    variance, mean = torch.var_mean(scan.sub_(low).div_(high - low).clamp_(0, 1))
    return scan.sub_(mean).mul_(DEVIATION / variance.sqrt()).add_(MEAN)


def _pool_normalised(x: Tensor) -> Tensor:
    """Equal ``max_pool3d(relu(instance_norm(x)), 3, stride=2, padding=1)``; even sizes."""
    flat = x.flatten(2)
    mean = flat.mean(2, keepdim=True)
    scale = torch.rsqrt((flat - mean).square_().mean(2, keepdim=True) + _EPSILON)
    for axis in (2, 3, 4):
        even, odd = x.unflatten(axis, (-1, 2)).unbind(axis + 1)
        x = torch.maximum(even, odd)
        later = x.narrow(axis, 1, x.shape[axis] - 1)
        torch.maximum(later, odd.narrow(axis, 0, x.shape[axis] - 1), out=later)
    return ((x - mean[..., None, None]) * scale[..., None, None]).relu_()


def resize(scan: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Take the nearest voxels for another shape."""
    return functional.interpolate(scan[None, None], shape, mode="nearest-exact")[0, 0]
