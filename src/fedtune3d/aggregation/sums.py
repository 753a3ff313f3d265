"""Sums over the updates of a round, and the rules that need nothing else of tensors.

A site multiplies what `values_to_sum` gives by its share of the round and hides it; the server learns the sum and hands
it to the rule as `KnownSums`. Where updates are visible, the same rule gets `LoadedSums`, which read them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import cast_like, example_counts, in_site_order, load_checked, mean_in_float64
from fedtune3d.aggregation.checks import find_fault
from fedtune3d.aggregation.contract import Aggregate, Memory, Rule, Update
from fedtune3d.aggregation.site_step import STATE, Parts, SiteStep

COUNT_UNIT = 2.0**-20
"""Means of whole numbers are rounded to it before they are rounded to whole numbers, so that ties stay ties."""


class Sums(ABC):
    """Sums over the updates of a round, each in float64."""

    @abstractmethod
    def mean(self, expected: State) -> State:
        """Return the weighted mean of the sites' states over the names in `expected`, the state that was sent."""

    @abstractmethod
    def total(self, part: str, expected: State) -> State:
        """Return the unweighted sum of a part over its names in `expected`; whole numbers as int64."""

    def average(self, expected: State) -> State:
        """`mean` in the dtypes of `expected`, as `average.weighted_average`."""
        means = self.mean(expected)
        return {name: cast_like(means[name], tensor) for name, tensor in expected.items()}


@dataclass(frozen=True)
class LoadedSums(Sums):
    """Sums over updates that can be read, one of which is in memory at a time.

    Attributes:
        updates: The updates.
        amounts: Site → what its state counts in the mean.
    """

    updates: Sequence[Update]
    amounts: Mapping[str, float]

    def mean(self, expected: State) -> State:
        return mean_in_float64(expected, self.updates, self.amounts)

    def total(self, part: str, expected: State) -> State:
        sums = {name: torch.zeros(tensor.shape, dtype=_wide(tensor)) for name, tensor in expected.items()}
        for update in in_site_order(self.updates):
            received = load_checked(update, expected) if part == STATE else _load_part(update, part, expected)
            for name, total in sums.items():
                total += received[name].to(total.dtype)
            del received  # free it before the next one is loaded
        return sums


@dataclass(frozen=True)
class KnownSums(Sums):
    """Sums that were formed where nobody saw an update.

    Attributes:
        reference: What went down, as `Rule.to_sum` has it: the sums of the state are of changes from it.
        sums: Part → name → Σ_k c_k x_k, in float64, over the sites in `coefficients`.
        coefficients: Site → c_k.
    """

    reference: State
    sums: Parts
    coefficients: Mapping[str, float]

    def mean(self, expected: State) -> State:
        total = math.fsum(self.coefficients.values())
        means = {}
        for name, tensor in expected.items():
            mean = self.reference[name].double() + self.sums[STATE][name] / total
            means[name] = mean if tensor.is_floating_point() else (mean / COUNT_UNIT).round() * COUNT_UNIT
        return means

    def total(self, part: str, expected: State) -> State:
        """Return the unweighted sum; raises `ValueError` if the sites were weighted differently."""
        coefficient, *others = sorted(set(self.coefficients.values()))
        if others:
            raise ValueError("expected sites that all count the same for a sum without weights")
        totals = {}
        for name, tensor in expected.items():
            total = self.sums[part][name] / coefficient
            if part == STATE:
                total = total + self.reference[name].double() * len(self.coefficients)
            totals[name] = total if tensor.is_floating_point() else total.round().to(torch.int64)
        return totals


@dataclass(frozen=True)
class Weighing:
    """The weight of each update of a round, from counts, scores and other numbers alone.

    Attributes:
        amounts: Site → what its state counts, at least 0; any positive sum.
        signals: As in `Aggregate`.
    """

    amounts: dict[str, float]
    signals: dict[str, dict[str, float]] = field(default_factory=dict)

    def of(self, sites: Collection[str]) -> "Weighing":
        """The same for some of the sites."""
        return replace(
            self,
            amounts={site: amount for site, amount in self.amounts.items() if site in sites},
            signals={site: signals for site, signals in self.signals.items() if site in sites},
        )


class SumRule(Rule):
    """A rule that needs only numbers and sums over the updates, so that it also runs where single ones are hidden."""

    def weigh(self, updates: Sequence[Update], memory: Memory) -> Weighing:
        """Return the weight of each update, here its number of examples. Loads no tensor."""
        return Weighing(example_counts(updates))

    @abstractmethod
    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        """Return the next global state, without loading any tensor of an update.

        Args:
            state: The current global state.
            sums: Over the updates' tensors; means are by the amounts of `weighing`.
            updates: Counts, scores and other numbers.
            weighing: What `weigh` gave, for the sites of these updates.
            memory: The rule's memory.
        """

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """`weigh`, then `step`."""
        weighing = self.weigh(updates, memory)
        return self.step(state, LoadedSums(updates, weighing.amounts), updates, weighing, memory)

    def to_sum(self, state: State) -> State:
        """The tensors whose sum over the sites the rule needs, made at a site of a complete state."""
        return state

    def on_sums(self) -> Self:
        """The rule with the options by which it needs only sums. Raises `InputError` where there are none."""
        return self


def on_sums(rule: Rule) -> SumRule:
    """The rule as it runs under secure aggregation. Raises `InputError` where it needs to see each update."""
    if not isinstance(rule, SumRule):
        raise InputError(
            f"rule {rule.name} looks at each update alone, and secure aggregation hides these; {rule.without_sums}"
        )
    return rule.on_sums()


def values_to_sum(
    to_sum: Callable[[State], State], step: SiteStep, received: State, trained: State, sent: Parts
) -> dict[str, State]:
    """Return a site's unweighted terms of the sums: the change of its state, and the other parts of its update.

    Args:
        to_sum: The rule's (`Rule.to_sum`).
        step: The rule's part at the site.
        received: The state that the site trained from.
        trained: The state after training, with the names that did not train.
        sent: The parts of the update.

    Returns:
        Part → name → float64.
    """
    left_out = {*step.keep_local, *step.frozen}
    before, after = to_sum(received), to_sum(trained)
    changes = {name: after[name].double() - before[name].double() for name in sorted(after.keys() - left_out)}
    others = {part: {name: t.double() for name, t in sorted(s.items())} for part, s in sent.items() if part != STATE}
    return {STATE: changes, **others}


def _load_part(update: Update, part: str, expected: State) -> State:
    received = update.load(part)
    if fault := find_fault(expected, received):
        raise ValueError(f"site {update.site}: {part}: {fault}")
    return received


def _wide(tensor: torch.Tensor) -> torch.dtype:
    return torch.float64 if tensor.is_floating_point() else torch.int64
