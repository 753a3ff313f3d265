"""The lines of an experiment file that say which encoder, weights and head are used."""

from fedtune3d.models.encoders.contract import EncoderSpec
from fedtune3d.models.packaged_weights import packaged_encoders

CONTINUED = "\n                         # "


def model_lines(spec: EncoderSpec) -> str:
    """Return the keys of the section `model`: an encoder with the head to begin with, and a comment on its weights."""
    comment = CONTINUED.join(_weights_comment(spec))
    return f"  {f'encoder: {spec.name}':<22} # {comment}\n  head: {spec.head}"


def _weights_comment(spec: EncoderSpec) -> list[str]:
    if spec.release is None:
        return ["its weights are random, drawn from the seed, and reported as random"]
    if spec.is_packaged:
        return [f"pre-trained; its weights come with {spec.release.source}"]
    packaged = " or ".join(other.name for other in packaged_encoders())
    lines = [
        "its weights are random, drawn from the seed, and reported as random, unless you give",
        f"weights: {spec.release.file} (docs/weights.md). Pre-trained without a download: encoder: {packaged}",
    ]
    if not spec.permissive:
        lines.append(f"and accept_licence: true, once you have read its licence ({spec.licence})")
    return lines
