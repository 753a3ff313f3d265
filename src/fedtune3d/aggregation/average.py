"""Weighted average of states that holds one of them in memory at a time."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.checks import all_finite, find_fault
from fedtune3d.aggregation.contract import Update
from fedtune3d.aggregation.site_step import STATE


def in_site_order(updates: Sequence[Update]) -> list[Update]:
    """The updates sorted by the names of their sites.

    Raises:
        ValueError: Where there is none, a site comes twice, or an update rests on no example.
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


def load_checked(update: Update, state: State) -> State:
    """The state of an update. Raises `ValueError` naming the site where names, shapes, dtypes or values are wrong."""
    received = update.load(STATE)
    if fault := find_fault(state, received):
        raise ValueError(f"site {update.site}: {fault}")
    return received


def shares(amounts: Mapping[str, float]) -> dict[str, float]:
    """Amounts divided by their sum, in the order of the names.

    Raises:
        ValueError: Where an amount is negative or not finite, or none is positive.
    """
    for site, amount in amounts.items():
        if not math.isfinite(amount) or amount < 0:
            raise ValueError(f"site {site}: expected a finite weight of at least 0, got {amount}")
    total = math.fsum(amounts.values())
    if total <= 0:
        raise ValueError("expected a positive weight for at least one site")
    return {site: amounts[site] / total for site in sorted(amounts)}


def example_counts(updates: Sequence[Update]) -> dict[str, float]:
    """Training examples per site, in the order of the sites' names."""
    return {update.site: float(update.examples) for update in in_site_order(updates)}


def mean_in_float64(state: State, updates: Sequence[Update], amounts: Mapping[str, float]) -> State:
    """The average of the updates' states, weighted by `amounts` (any positive sum), in float64 for every dtype.

    Sums run over the sites in the order of their names and are divided once by the sum of the amounts, so the order of
    `updates` does not change a bit. One update is loaded at a time; those of amount 0 are not loaded.

    Raises:
        ValueError: Where an update differs from `state` in names, shapes or dtypes, or is not finite (naming the
            site); where an amount is negative or none is positive.
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
            accumulated.add_(received[name].double(), alpha=amount)
        total += amount
    return {name: accumulated.div_(total) for name, accumulated in sums.items()}


def weighted_average(state: State, updates: Sequence[Update], amounts: Mapping[str, float]) -> State:
    """`mean_in_float64` in the dtypes of `state`.

    An integer tensor (a count of batches) is the mean rounded to the nearest integer, half to even; a Boolean one is
    the weighted majority, true at a tie.
    """
    means = mean_in_float64(state, updates, amounts)
    return {name: cast_like(means[name], tensor) for name, tensor in state.items()}


def cast_like(values: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """Float64 `values` in the dtype of `example`: integers rounded half to even, Booleans true from 0.5.

    Raises:
        InputError: Where the result is not finite.
    """
    if example.dtype == torch.bool:
        return values >= 0.5
    cast = values.to(example.dtype) if example.is_floating_point() else values.round().to(example.dtype)
    if example.is_floating_point() and not all_finite(cast):
        raise InputError(f"the rule's next state has values that {example.dtype} cannot hold; lower the rule's rate")
    return cast
