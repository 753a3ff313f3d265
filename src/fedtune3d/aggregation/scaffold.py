"""SCAFFOLD: control variates that correct each site's gradients for its drift."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.ranges import Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import shares
from fedtune3d.aggregation.changes import change, moved, parameters_at_start
from fedtune3d.aggregation.contract import (
    AVERAGING,
    Aggregate,
    Memory,
    RuleContext,
    Update,
)
from fedtune3d.aggregation.site_step import GradientCorrection, LocalOptimizer, Parts, SiteStep
from fedtune3d.aggregation.sums import SumRule, Sums, Weighing

SITES = "sites"

CONTROL = "control"
"""Part of a site's memory: its own control variate c_k, by parameter name."""

CONTROL_CHANGE = "control_change"
"""Part of an update: c_k⁺ − c_k, by parameter name."""


@dataclass(frozen=True)
class ControlVariateStep(SiteStep):
    """Add c − c_k to each gradient after clipping, send the change of c_k, and remember the new c_k.

    Attributes:
        control: The server's control variate c, by parameter name.
    """

    control: State = field(default_factory=dict)

    def correction(
        self, parameters: Mapping[str, torch.nn.Parameter], optimizer: LocalOptimizer, remembered: Parts
    ) -> GradientCorrection:
        if (optimizer.name, optimizer.momentum) != ("sgd", 0.0):
            raise ValueError("SCAFFOLD's control variates require optimizer: sgd without momentum")
        return _ControlVariates(self.control, remembered.get(CONTROL), parameters, optimizer.rates)

    def expected_parts(self, state: State) -> dict[str, State]:
        control = {name: tensor for name, tensor in self.control.items() if name not in self.frozen}
        return super().expected_parts(state) | {CONTROL_CHANGE: control}

    def to_remember(self, trained: State, sent: Parts, remembered: Parts) -> dict[str, State]:
        before, change = remembered.get(CONTROL, {}), sent[CONTROL_CHANGE]
        control = {name: before[name] + step if name in before else step for name, step in change.items()}
        return super().to_remember(trained, sent, remembered) | {CONTROL: control}


class _ControlVariates(GradientCorrection):
    def __init__(
        self,
        server: State,
        own: State | None,
        parameters: Mapping[str, torch.nn.Parameter],
        rates: Mapping[str, float],
    ) -> None:
        self.server, self.rates = server, rates
        self.received = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        self.offset = gradient_offset(server, own, parameters)

    def after_clipping(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        for name, offset in self.offset.items():
            gradient = parameters[name].grad
            if gradient is not None:
                gradient.add_(offset.to(gradient))

    def parts_to_send(self, parameters: Mapping[str, torch.nn.Parameter], steps: int) -> dict[str, State]:
        sent = {name: parameter.detach() for name, parameter in parameters.items()}
        return {CONTROL_CHANGE: control_change(self.server, self.received, sent, steps, self.rates)}


def gradient_offset(server: State, own: State | None, names: Iterable[str]) -> State:
    """Compute c − c_k by name; c_k is 0 if the site has none yet."""
    if own is None:
        return {name: server[name].float() for name in names}
    return {name: server[name].float() - own[name].float() for name in names}


def control_change(server: State, received: State, sent: State, steps: int, rates: Mapping[str, float]) -> State:
    """Compute c_k⁺ − c_k = −c + (w − w_k) / (steps · rate) by name, on the CPU; exact for plain gradient steps."""
    return {
        name: (received[name] - sent[name]).cpu().float() / (steps * rates[name]) - server[name].cpu().float()
        for name in received
    }


@dataclass(frozen=True)
class SCAFFOLD(SumRule):
    """w ← w + η Σ_{k∈S} Δ_k / |S|; c ← c + Σ_{k∈S} (c_k⁺ − c_k) / N, for the round's sites S out of N.

    Karimireddy et al. 2020, arXiv:1910.06378, Algorithm 1, with option II for the site's control variate:
    c_k⁺ = c_k − c + (w − w_k) / (K η_l) after K steps of rate η_l, each with c − c_k added to its gradient.
    Valid only for plain SGD with a constant rate within a round; anything else is refused. As in the paper, all sites
    count equally, whatever their size. Buffers are averaged over S.

    Memory use: one state (float64), c and one update at a time; c is kept between rounds, and each site keeps its c_k,
    in the parameters' dtypes. Uses no validation scores. A site of two participants counts as much as the largest.

    Options:
        rate: η, above 0.
    """

    name = "scaffold"
    step_type = ControlVariateStep
    implies = AVERAGING
    in_product_space = False
    rate: Positive = 1.0

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        """Return the state unchanged, and a memory with c = 0.

        Raises:
            InputError: If the optimiser is not SGD or its rate changes within a round.
        """
        if context.optimizer != "sgd" or not context.rate_constant:
            schedule = "constant" if context.rate_constant else "changing"
            raise InputError(
                "rule scaffold: expected optimizer sgd with a learning rate constant within a round, "
                f"got {context.optimizer} with a {schedule} rate; its control variates are valid only for SGD"
            )
        control = {name: torch.zeros_like(state[name]) for name in parameters_at_start(state, context)}
        return state, Memory({SITES: len(context.sites)}, control)

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        return ControlVariateStep(control=dict(memory.tensors))

    def weigh(self, updates: Sequence[Update], memory: Memory) -> Weighing:
        return Weighing(dict.fromkeys((update.site for update in updates), 1.0))

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        """As above. Raises `ValueError` naming the site whose update or change of control does not fit."""
        means = sums.mean(state)
        steps = {name: self.rate * step for name, step in change(state, means, list(memory.tensors)).items()}
        changes = sums.total(CONTROL_CHANGE, dict(memory.tensors))
        sites = max(memory.read(SITES, int), len(updates))
        control = {
            name: (tensor.double() + changes[name] / sites).to(tensor.dtype) for name, tensor in memory.tensors.items()
        }
        return Aggregate(moved(state, means, steps), shares(weighing.amounts), Memory(memory.values, control))
