"""Checks of a state dict that a site sent."""

import torch

from fedtune3d._utils.state_dicts import State


def find_fault(expected: State, received: State) -> str | None:
    """The reason why `received` may not be averaged, in one line; None if it may.

    Args:
        expected: Names, shapes and dtypes to come back (`SiteStep.expected_parts`).
        received: The state dict that came back.
    """
    if missing := sorted(expected.keys() - received.keys()):
        return f"{_some(missing)} missing"
    if unknown := sorted(received.keys() - expected.keys()):
        return f"{_some(unknown)} not expected"
    for name in sorted(expected):
        ours, theirs = expected[name], received[name]
        if ours.shape != theirs.shape:
            return f"{name}: expected shape {tuple(ours.shape)}, got {tuple(theirs.shape)}"
        if ours.dtype != theirs.dtype:
            return f"{name}: expected {ours.dtype}, got {theirs.dtype}"
        if theirs.is_floating_point() and not all_finite(theirs):
            return f"{name}: holds NaN or infinite values"
    return None


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite. Either makes the sum so; a sum may also overflow, hence the second look."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _some(names: list[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
