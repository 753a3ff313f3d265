"""Image encoders, one file each; `contract` says what an encoder is, `networks` holds what several are made of."""

from fedtune3d.models.encoders._registry import build_encoder, encoder_names, encoder_spec

__all__ = ["build_encoder", "encoder_names", "encoder_spec"]
