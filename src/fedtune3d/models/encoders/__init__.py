"""Image encoders, one file each; `contract` defines their interface, `networks` holds the networks that they share."""

from fedtune3d.models.encoders._registry import build_encoder, encoder_names, encoder_spec

__all__ = ["build_encoder", "encoder_names", "encoder_spec"]
