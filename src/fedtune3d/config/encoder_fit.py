"""Heads, tunings and grids that do not fit an encoder."""

from fedtune3d.models.encoders.contract import EncoderSpec
from fedtune3d.models.heads import min_positions
from fedtune3d.models.tuning.lora import no_lora


def find_misfits(spec: EncoderSpec, head: str, method: str) -> list[str]:
    """Return why a head or a tuning method does not fit an encoder, a sentence each; empty if both do."""
    problems = [no_lora(spec)] if method == "lora" and spec.adaptable is None else []
    if spec.features.positions < (fewest := min_positions(head)):
        what = "a vector" if spec.features.is_vector else f"a map of {spec.features.positions}³ positions"
        problems.append(
            f"head {head} needs a map of {fewest}³ positions or more, but encoder {spec.name} makes {what}; write "
            "head: linear"
        )
    return problems


def find_wrong_size(spec: EncoderSpec, size: int) -> list[str]:
    """Return why an encoder does not take scans of `size` voxels along each axis; empty if it does."""
    if not spec.input.fixed_size or size == spec.input.size:
        return []
    return [f"preparation.size: encoder {spec.name} takes {spec.input.size} voxels only; leave it out"]


def find_trained_in_bfloat16(precision: str, method: str) -> list[str]:
    """Return why a tuning method does not go with a precision; empty if it does."""
    if precision == "float32" or method == "frozen":
        return []
    return [f"model.precision: {precision} is for a frozen encoder, but tuning {method} trains it; write float32"]
