"""The check at the door: an update is whole, of the right shape and finite, or it is refused by name."""

import torch

from fedtune3d.aggregation.contract import STATE
from fedtune3d.federation.messages import Answer
from fedtune3d.states import State


def reason_to_refuse(answer: Answer, reference: State, absent: tuple[str, ...], largest_norm: float) -> str | None:
    """Why a training answer cannot be accepted, in one line; None when it can.

    Args:
        answer: What came.
        reference: The global state that was sent: names, shapes and dtypes to match.
        absent: Names that stay at the site and must not come.
        largest_norm: The greatest Euclidean norm of (state that came − state that was sent).
    """
    examples = answer.values.get("examples")
    if not isinstance(examples, int) or examples < 1:
        return f"expected at least 1 training example, got {examples!r}"
    state = answer.parts.get(STATE)
    if state is None:
        return "the answer holds no state"
    expected = set(reference) - set(absent)
    if missing := sorted(expected - set(state)):
        return f"{len(missing)} names are missing from the state, the first is {missing[0]}"
    if extra := sorted(set(state) - expected):
        return f"{len(extra)} names do not belong to the state, the first is {extra[0]}"
    for name in sorted(expected):
        if problem := _unlike(state[name], reference[name]):
            return f"{name}: {problem}"
    for part, tensors in sorted(answer.parts.items()):
        for name, tensor in sorted(tensors.items()):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                return f"{name} of {part} holds NaN or infinite values"
    norm = change_norm(state, reference)
    if norm > largest_norm:
        return f"the norm of the change is {norm:.3g}, over the bound of {largest_norm:.3g}"
    return None


def change_norm(state: State, reference: State) -> float:
    """‖state − reference‖₂ over the floating-point tensors that both hold."""
    squares = [
        float((state[name].double() - reference[name].double()).square().sum())
        for name in sorted(state)
        if state[name].is_floating_point()
    ]
    return float(torch.tensor(squares, dtype=torch.float64).sum().sqrt()) if squares else 0.0


def _unlike(tensor: torch.Tensor, reference: torch.Tensor) -> str | None:
    if tensor.shape != reference.shape:
        return f"expected the shape {tuple(reference.shape)}, got {tuple(tensor.shape)}"
    if tensor.dtype != reference.dtype:
        return f"expected {reference.dtype}, got {tensor.dtype}"
    return None
