"""MeshNet's soft maps of 18 structures, pooled: a segmentation network as an encoder."""

from torch import Tensor

from fedtune3d.models.encoders.contract import Encoder, EncoderSpec, FeatureSpec
from fedtune3d.models.encoders.networks.mesh_net import CLASSES
from fedtune3d.models.encoders.networks.mesh_net_encoder import INPUT, LICENCE, RELEASE, MeshNetEncoder
from fedtune3d.models.exact_pooling import mean_pool

POSITIONS = 8

SPEC = EncoderSpec(
    name="meshnet",
    version=2,
    title="MeshNet soft maps",
    input=INPUT,
    features=FeatureSpec(channels=len(CLASSES), positions=POSITIONS),
    licence=LICENCE,
    release=RELEASE,
)


class SoftMaps(MeshNetEncoder):
    """Scans (B, 1, s, s, s) → (B, 18, 8, 8, 8): the share of each structure in each cube of the scan."""

    def features_of(self, shares: Tensor) -> Tensor:
        return mean_pool(shares, POSITIONS)


def build() -> Encoder:
    """Build the network, with its initial weights."""
    return SoftMaps(SPEC)
