"""Weighted average of states, with one of them in memory at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.checks import all_finite, find_fault
from fedtune3d.aggregation.contract import Update
from fedtune3d.aggregation.site_step import STATE


def in_site_order(updates: Sequence[Update]) -> list[Update]:
    """Sort updates by site name.

    Raises:
        ValueError: If there are no updates, a site occurs twice, or an update has no examples.
    """
    if not updates:
        raise ValueError("no update to aggregate")
    ordered = sorted(updates, key=lambda update: update.site)
    for update, following in pairwise(ordered):
        if update.site == following.site:
            raise ValueError(f"site {update.site}: two updates in one round")
    for update in ordered:
        if update.examples < 1:
            raise ValueError(f"site {update.site}: expected at least 1 example, got {update.examples}")
    return ordered


def with_examples(updates: Sequence[Update]) -> list[Update]:
    """Weigh updates whose site withholds its number of scans as the (lower) median of the others, or all alike."""
    known = sorted(update.examples for update in updates if update.examples)
    middle = known[(len(known) - 1) // 2] if known else 1
    return [update if update.examples else replace(update, examples=middle) for update in updates]


def load_checked(update: Update, state: State) -> State:
    """Load an update's state. Raises `ValueError` with the site if names, shapes, dtypes or values are wrong."""
    received = update.load(STATE)
    if fault := find_fault(state, received):
        raise ValueError(f"site {update.site}: {fault}")
    return received


def shares(amounts: Mapping[str, float]) -> dict[str, float]:
    """Divide amounts by their sum. Returns them in the order of their names.

    Raises:
        ValueError: If an amount is negative or not finite, or none is positive.
    """
    for site, amount in amounts.items():
        if not math.isfinite(amount) or amount < 0:
            raise ValueError(f"site {site}: expected a finite weight of at least 0, got {amount}")
    total = math.fsum(amounts.values())
    if total <= 0:
        raise ValueError("expected a positive weight for at least one site")
    return {site: amounts[site] / total for site in sorted(amounts)}


def example_counts(updates: Sequence[Update]) -> dict[str, float]:
    """Return the number of training examples per site, in the order of the sites' names."""
    return {update.site: float(update.examples) for update in in_site_order(updates)}


def mean_in_float64(state: State, updates: Sequence[Update], amounts: Mapping[str, float]) -> State:
    """Average the updates' states, weighted by `amounts` (with any positive sum), in float64 for every dtype.

    Sums run over the sites in the order of their names and are divided once by the sum of the amounts, so the result
    is bit-identical for any order of `updates`. One update is loaded at a time; those of amount 0 are not loaded.

    Raises:
        ValueError: If an update differs from `state` in names, shapes or dtypes or is not finite (with the site), an
            amount is negative, or no amount is positive.
    """
    shares(amounts)
    sums = {name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in state.items()}
    total = 0.0
    for update in in_site_order(updates):
        amount = amounts[update.site]
        if amount == 0:
            continue
        received = load_checked(update, state)
        for name, accumulated in sums.items():
            accumulated.add_(received[name], alpha=amount)  # each value becomes float64 before it is multiplied
        del received  # free it before the next one is loaded
        total += amount
    return {name: accumulated.div_(total) for name, accumulated in sums.items()}


def weighted_average(state: State, updates: Sequence[Update], amounts: Mapping[str, float]) -> State:
    """Average the updates' states as `mean_in_float64`, and cast the result to the dtypes of `state`.

    Integer tensors (batch counters) are rounded to the nearest integer, half to even; Boolean tensors are the weighted
    majority, true for ties.
    """
    means = mean_in_float64(state, updates, amounts)
    return {name: cast_like(means[name], tensor) for name, tensor in state.items()}


def cast_like(values: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """Cast float64 `values` to the dtype of `example`: integers rounded half to even, Booleans true from 0.5.

    Raises:
        InputError: If the result is not finite.
    """
    if example.dtype == torch.bool:
        return values >= 0.5
    cast = values.to(example.dtype) if example.is_floating_point() else values.round().to(example.dtype)
    if example.is_floating_point() and not all_finite(cast):
        raise InputError(f"the rule's next state has values out of range for {example.dtype}; lower the rule's rate")
    return cast
