"""SAM-Med3D's ViT-B, the encoder of the published study (arXiv 2310.15161), 92.9 M parameters."""

from fedtune3d.models.encoders.contract import Encoder, Release
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D, sam_med3d_spec

RELEASE = Release(
    file="sam_med3d_turbo.pth",
    source="https://huggingface.co/blueyo0/SAM-Med3D",
    size_bytes=None,
    sha256=None,
    loaded=False,
)
"""The hub states the size and SHA-256 of its current commit (`models/hub.py`)."""

SPEC = sam_med3d_spec("vit_b", "SAM-Med3D ViT-B", depth=12, global_blocks=(2, 5, 8, 11), release=RELEASE)


def build() -> Encoder:
    """Build the network: scans (B, 1, 128, 128, 128) → features (B, 384, 8, 8, 8)."""
    encoder = ImageEncoder3D()
    encoder.spec = SPEC
    return encoder
