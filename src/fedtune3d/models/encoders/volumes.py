"""Relative volumes of 17 brain structures, segmented by MeshNet: the baseline for a foundation model."""

import torch
from torch import Tensor

from fedtune3d.models.encoders.contract import Encoder, EncoderSpec, FeatureSpec
from fedtune3d.models.encoders.networks.mesh_net import CLASSES
from fedtune3d.models.encoders.networks.mesh_net_encoder import INPUT, LICENCE, RELEASE, MeshNetEncoder

STRUCTURES = CLASSES[1:]

SPEC = EncoderSpec(
    name="volumes",
    version=2,
    title="Volumes of structures (MeshNet)",
    input=INPUT,
    features=FeatureSpec(channels=len(STRUCTURES), positions=1),
    licence=LICENCE,
    release=RELEASE,
)

USUAL_LOG_SHARES = (
    *(-0.96, -0.93, -3.68, -6.77, -3.67, -2.36, -4.41, -5.09, -4.71, -6.00, -6.51, -6.42, -3.96, -5.11, -5.95),
    *(-7.00, -4.96),
)
"""Mean logarithm of each structure's share over ten people's label maps (SynthSeg's training set, Apache-2.0)."""
SPREAD = 0.2
"""Approximate standard deviation of these logarithms between people."""
_LEAST_SHARE = 1e-5  # about 10 mm³, so that the logarithm of an undetected structure is finite


class Volumes(MeshNetEncoder):
    """Scans (B, 1, s, s, s) → (B, 17, 1, 1, 1).

    Features are the logarithms of each structure's share of the total volume, minus their typical value and divided by
    `SPREAD`. They are independent of head size and on a scale suitable for logistic regression.
    """

    def features_of(self, shares: Tensor) -> Tensor:
        volumes = shares[:, 1:].mean(dim=(2, 3, 4))
        logarithms = (volumes / volumes.sum(dim=1, keepdim=True) + _LEAST_SHARE).log()
        usual = torch.tensor(USUAL_LOG_SHARES, device=shares.device, dtype=shares.dtype)
        return ((logarithms - usual) / SPREAD)[:, :, None, None, None]


def build() -> Encoder:
    """Build the network, with its initial weights."""
    return Volumes(SPEC)
