"""A small copy of SAM-Med3D's encoder, for trying out a pipeline and for tests; it has no released weights."""

from fedtune3d.models.encoders.contract import Encoder
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D, sam_med3d_spec

SPEC = sam_med3d_spec("tiny", "SAM-Med3D tiny", depth=2, global_blocks=(1,))


def build() -> Encoder:
    """Build two narrow blocks, one windowed and one global, with the input and output shapes of `vit_b`."""
    encoder = ImageEncoder3D(embed_dim=48, depth=2, num_heads=3, global_attn_indexes=(1,), neck_kernel_size=1)
    encoder.spec = SPEC
    return encoder
