"""The reference trained from scratch that the study compares with: a 3D ResNet-18."""

from typing import ClassVar

import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import global_draws_from
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.exact_pooling import MaxPool3d


class ResNet18Reference(nn.Module):
    """MONAI's 3D ResNet-18 on prepared scans: (B, 1, 128, 128, 128) → outputs (B, outputs); 33.2 M parameters.

    He et al. 2016 (arXiv:1512.03385) in 3D (Hara et al. 2018, arXiv:1711.09577). Two choices are ours, as the study
    (arXiv 2508.21458) gives none: the first convolution has stride 2, as in the 2D original (MONAI's default of 1 takes
    eight times the memory), and normalisation is BatchNorm, because a published reference is compared as published and
    MONAI's blocks have no other. Its running statistics are buffers, so they are part of the trained state.

    One stage: it is trained in full, so there is no prefix.

    Args:
        seed: The initial weights depend on it and on the number of outputs.
        outputs: Outputs per scan, such as a logit per class.

    Raises:
        InputError: If MONAI is not installed.
    """

    stage_count = 1
    INPUT: ClassVar[InputSpec] = InputSpec(size=128, spacing_mm=1.5)

    def __init__(self, seed: int = 0, outputs: int = 2) -> None:
        super().__init__()
        try:
            from monai.networks.nets.resnet import resnet18
        except ImportError as error:
            raise InputError(
                "model: 'resnet18' needs the package monai; install it with: pip install 'fedtune3d[reference]'"
            ) from error
        with global_draws_from("resnet18", seed):
            self.network = resnet18(
                spatial_dims=3, n_input_channels=1, num_classes=outputs, conv1_t_stride=2, bias_downsample=False
            )
        self.network.maxpool = MaxPool3d(3, stride=2, padding=1)  # as MONAI's

    def run_stages(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Scans → logits for stages 0 to 1; `x` itself for an empty range."""
        if not 0 <= start <= stop <= 1:
            raise ValueError(f"stages: expected 0 <= start <= stop <= 1, got {start} and {stop}")
        return self.network(x) if start < stop else x

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        return self.run_stages(scans, 0, 1)
