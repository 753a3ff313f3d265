"""Checks of a state dict sent by a site."""

import torch

from fedtune3d._utils.state_dicts import State


def find_fault(expected: State, received: State) -> str | None:
    """Return why `received` cannot be averaged, in one line; None if it can.

    Args:
        expected: Expected names, shapes and dtypes (`SiteStep.expected_parts`).
        received: The state dict from the site.
    """
    if missing := sorted(expected.keys() - received.keys()):
        return f"{_abbreviated(missing)} missing"
    if unknown := sorted(received.keys() - expected.keys()):
        return f"{_abbreviated(unknown)} not expected"
    for name in sorted(expected):
        reference, tensor = expected[name], received[name]
        if reference.shape != tensor.shape:
            return f"{name}: expected shape {tuple(reference.shape)}, got {tuple(tensor.shape)}"
        if reference.dtype != tensor.dtype:
            return f"{name}: expected {reference.dtype}, got {tensor.dtype}"
        if tensor.is_floating_point() and not all_finite(tensor):
            return f"{name}: contains NaN or infinite values"
    return None


def all_finite(tensor: torch.Tensor) -> bool:
    """Return whether all values are finite. A finite sum proves it; an infinite one may be mere overflow."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _abbreviated(names: list[str], shown: int = 3) -> str:
    listed = ", ".join(names[:shown])
    return listed if len(names) <= shown else f"{listed} and {len(names) - shown} more"
