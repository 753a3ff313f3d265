"""Whether what a site sent may be used, and how far it has moved."""

import math
from collections.abc import Iterable

import torch

from fedtune3d.states import State


def find_fault(state: State, received: State, left_out: Iterable[str] = ()) -> str | None:
    """Why `received` may not be averaged into `state`, in one line; None when it may.

    Args:
        state: The state that went down.
        received: The state that came back.
        left_out: Names that were not to come back (`LocalPlan.keep_local` and `LocalPlan.frozen`).
    """
    expected = state.keys() - set(left_out)
    if missing := sorted(expected - received.keys()):
        return f"{_some(missing)} missing"
    if unknown := sorted(received.keys() - expected):
        return f"{_some(unknown)} not expected"
    for name in sorted(expected):
        ours, theirs = state[name], received[name]
        if ours.shape != theirs.shape:
            return f"{name}: expected shape {tuple(ours.shape)}, got {tuple(theirs.shape)}"
        if ours.dtype != theirs.dtype:
            return f"{name}: expected {ours.dtype}, got {theirs.dtype}"
        if theirs.is_floating_point() and not bool(torch.isfinite(theirs).all()):
            return f"{name}: holds NaN or infinite values"
    return None


def update_norm(state: State, received: State) -> float:
    """The Euclidean norm of the change over the floating-point tensors that came back, in float64."""
    squares = (
        float((tensor.double() - state[name].double()).square().sum())
        for name, tensor in sorted(received.items())
        if tensor.is_floating_point()
    )
    return math.sqrt(sum(squares))


def _some(names: list[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
