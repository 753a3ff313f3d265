"""SAM-Med3D's ViT-B, the encoder of the published study (arXiv 2310.15161), 92.9 M parameters."""

from fedtune3d.models.encoders.contract import Encoder
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D, sam_med3d_spec

SPEC = sam_med3d_spec("vit_b", "SAM-Med3D ViT-B", depth=12, global_blocks=(2, 5, 8, 11))


def build() -> Encoder:
    """(B, 1, 128, 128, 128) → (B, 384, 8, 8, 8)."""
    encoder = ImageEncoder3D()
    encoder.spec = SPEC
    return encoder
