"""Image encoders, one file each; `contract` defines their interface, `networks` holds the networks that they share."""

from fedtune3d.models.encoders._own import OwnEncoder
from fedtune3d.models.encoders._registry import (
    build_encoder,
    encoder_names,
    encoder_spec,
    install_encoder,
    installed_encoders,
)

__all__ = ["OwnEncoder", "build_encoder", "encoder_names", "encoder_spec", "install_encoder", "installed_encoders"]
