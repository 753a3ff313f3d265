"""q-FedAvg: sites on which the model performs worse get more influence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from fedtune3d._utils.ranges import NonNegative, Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import in_site_order, load_checked, shares
from fedtune3d.aggregation.changes import PARAMETERS, ChangeRule, change, moved, parameters_of
from fedtune3d.aggregation.contract import WEIGHTS_SUM_TO_ONE, Aggregate, Memory, Update
from fedtune3d.aggregation.site_step import Parts, SiteStep
from fedtune3d.aggregation.sums import Sums, Weighing

MIN_LOSS = 1e-10

LOSS = "received_training_loss"
SQUARED_CHANGE = "squared_change"
"""Scalar of a site: ‖Δ_k‖² over the trained parameters."""


@dataclass(frozen=True)
class TrainingLossStep(SiteStep):
    """Send the loss of the received state over the site's training scans, F_k, with the update.

    Attributes:
        norm_over: The parameters over which the site also sends ‖Δ_k‖²; empty if the server computes it.
    """

    scores_training = True
    own_scalars = (SQUARED_CHANGE,)
    norm_over: tuple[str, ...] = ()

    def scalars(self, received: State, trained: State, remembered: Parts) -> dict[str, float]:
        if not self.norm_over:
            return {}
        return {SQUARED_CHANGE: _square(received, trained, self.norm_over)}


@dataclass(frozen=True)
class QFedAvg(ChangeRule):
    """w ← w + Σ_k F_k^q L Δ_k / Σ_k h_k, with h_k = q F_k^(q−1) ‖L Δ_k‖² + L F_k^q, over the trained parameters.

    Li et al. 2020, arXiv:1905.10497, Algorithm 2. F_k is the loss of the received state on the site's training
    examples; 1e-10 is added, as in Flower, so that negative powers of a zero loss are defined. Buffers are averaged
    with the weights F_k^q / Σ_j F_j^q, which are also the reported weights; the step is scaled relative to that average
    by ``step`` = L Σ F_k^q / Σ h_k (a round signal).

    Memory use: one state (float64) and one update at a time, each read twice; only names are kept between rounds. Uses
    no validation scores, so sites may have validation sets with one class or none; a site of two participants counts as
    much as the largest site with the same loss.

    Options:
        q: At least 0; 0 is SimpleAvg. The default is 0.1, as in Flower.
        rate: 1 / L, above 0. In the paper, L is the reciprocal of the local SGD's learning rate, tuned at q = 0. With
            AdamW, Δ / rate is not a gradient; our default of 1 leaves ‖Δ‖² unscaled.
        site_norms: Whether each site computes its own ‖Δ_k‖², as it does under secure aggregation.
    """

    name = "qfedavg"
    step_type = TrainingLossStep
    implies = frozenset({WEIGHTS_SUM_TO_ONE})
    q: NonNegative = 0.1
    rate: Positive = 1.0
    site_norms: bool = False

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        return TrainingLossStep(norm_over=tuple(memory.read(PARAMETERS, list[str], [])) if self.site_norms else ())

    def on_sums(self) -> Self:
        return replace(self, site_norms=True)

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """Apply the weighted step. Raises `ValueError` with the site if a training loss is missing, infinite or < 0."""
        if not self.site_norms:
            names = parameters_of(state, memory)
            squares = {u.site: _square(state, load_checked(u, state), names) for u in in_site_order(updates)}
            updates = [replace(update, scalars={SQUARED_CHANGE: squares[update.site]}) for update in updates]
        return super().aggregate(state, updates, memory)

    def weigh(self, updates: Sequence[Update], memory: Memory) -> Weighing:
        """Weight each update by a power of its training loss."""
        losses = {update.site: _loss(update) for update in in_site_order(updates)}
        signals = {site: {LOSS: loss} for site, loss in losses.items()}
        return Weighing({site: (loss + MIN_LOSS) ** self.q for site, loss in losses.items()}, signals)

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        """Move the state by the sum of the sites' changes, normalised by their losses and squared norms."""
        lipschitz, powers = 1 / self.rate, weighing.amounts
        losses = {site: known[LOSS] for site, known in weighing.signals.items()}
        squares = {update.site: _squared_change(update) for update in in_site_order(updates)}
        total = math.fsum(
            self.q * (losses[site] + MIN_LOSS) ** (self.q - 1) * lipschitz**2 * squares[site] + lipschitz * power
            for site, power in powers.items()
        )
        step = lipschitz * math.fsum(powers.values()) / total
        means, names = sums.mean(state), parameters_of(state, memory)
        steps = {name: step * mean_change for name, mean_change in change(state, means, names).items()}
        signals = {site: {**known, SQUARED_CHANGE: squares[site]} for site, known in weighing.signals.items()}
        return Aggregate(moved(state, means, steps), shares(powers), memory, signals, {"step": step})


def _loss(update: Update) -> float:
    loss = update.received_training_loss
    if loss is None or not math.isfinite(loss) or loss < 0:
        raise ValueError(f"site {update.site}: expected {LOSS}, finite and at least 0, got {loss}")
    return loss


def _squared_change(update: Update) -> float:
    square = update.scalars.get(SQUARED_CHANGE)
    if square is None or not math.isfinite(square) or square < 0:
        raise ValueError(f"site {update.site}: expected {SQUARED_CHANGE}, finite and at least 0, got {square}")
    return square


def _square(state: State, after: State, names: Sequence[str]) -> float:
    return math.fsum(float(difference.square().sum()) for difference in change(state, after, names).values())
