"""The versions of what turns a scan into features, by which a trained model knows its own."""

from dataclasses import dataclass

from fedtune3d.models.encoders import encoder_names, encoder_spec
from fedtune3d.preparation.prepare_scan import PREPARATION_VERSION


@dataclass(frozen=True)
class FeatureVersions:
    """Versions of the code; with another one, the same scan has other features.

    Attributes:
        encoder: Of the encoder (`EncoderSpec.version`); 0 for the reference model, which has none.
        preparation: Of the preparation.
    """

    encoder: int
    preparation: int

    @classmethod
    def here(cls, encoder: str) -> "FeatureVersions":
        """Return what this program has for an encoder or reference model of this name."""
        return cls(encoder_spec(encoder).version if encoder in encoder_names() else 0, PREPARATION_VERSION)


def find_other_features(encoder: str, trained_on: FeatureVersions | None) -> str | None:
    """Return why a model cannot be used with this program's features of a scan; None if it can.

    Args:
        encoder: The name of its encoder.
        trained_on: The versions with which it was trained; None if nothing says.
    """
    here = FeatureVersions.here(encoder)
    if trained_on == here:
        return None
    advice = "use the fedtune3d that trained it, or train it again"
    if trained_on is None:
        return f"does not say with which versions of encoder {encoder} and of the preparation it was trained; {advice}"
    names = {f"encoder {encoder}": (trained_on.encoder, here.encoder)}
    names["the preparation"] = (trained_on.preparation, here.preparation)
    other = [f"version {was} of {name}, but this is version {now}" for name, (was, now) in names.items() if was != now]
    return f"was trained with {' and '.join(other)}, which gives other features of the same scan; {advice}"
