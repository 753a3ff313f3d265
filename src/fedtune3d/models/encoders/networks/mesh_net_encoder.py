"""Encoders whose features are computed from MeshNet's segmentation."""

from abc import abstractmethod

import torch
from torch import Tensor

from fedtune3d.models.encoders.contract import Encoder, EncoderSpec, InputSpec, Release
from fedtune3d.models.encoders.networks.mesh_net import DILATIONS, layers, run_layer, segment_in_slabs, to_ras

INPUT = InputSpec(size=192, spacing_mm=1.0, space="native", intensity="minmax", fixed_size=False)
LICENCE = "MIT"
RELEASE = Release(
    file="model.pth",
    source="https://raw.githubusercontent.com/neuroneural/brainchop-models/"
    "3d81b598b4c3d09e61d8a3664247fc939ccd384c/meshnet/model18cls/model.pth",
    size_bytes=387_240,
    sha256="0798b61d58626010708284cab719f2674c817c789acb84e8eec5265a46e8fbbc",
    loaded=True,
)
"""brainchop's `model18cls`, in safetensors format despite its name."""
LARGE = 200**3
"""Voxels of a scan above which it is computed in slabs, which takes a third longer, to fit in 4 GB."""


class MeshNetEncoder(Encoder):
    """MeshNet with features of its soft maps: stages 0 to 8 are the dilated convolutions, stage 9 is the rest."""

    stage_count = len(DILATIONS) + 1

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.model = layers()

    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        """Run a stage: scans → 21 channels on LIA axes → … → features."""
        output = run_layer(self.model, x, stage)
        return self.features_of(output.softmax(dim=1)) if stage == self.stage_count - 1 else output

    def run_stages(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Run the stages `start` … `stop` − 1; large scans in slabs, where all stages run and no gradients follow."""
        if (start, stop) == (0, self.stage_count) and x[0].numel() > LARGE and not torch.is_grad_enabled():
            return to_ras(self.features_of(segment_in_slabs(self.model, x)))
        return super().run_stages(x, start, stop)

    def stage_of(self, name: str) -> int:
        return int(name.split(".")[1]) // 2

    @abstractmethod
    def features_of(self, shares: Tensor) -> Tensor:
        """Compute the features from the share of each class in each voxel, (B, 18, x, y, z).

        Features of flipped or permuted axes are the features on flipped or permuted axes.
        """
