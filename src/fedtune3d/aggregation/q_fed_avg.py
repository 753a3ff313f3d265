"""q-FedAvg: sites on which the model performs worse get more influence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.ranges import NonNegative, Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import in_site_order, load_checked, mean_in_float64, shares
from fedtune3d.aggregation.changes import PARAMETERS, change, moved, parameters_at_start, parameters_of
from fedtune3d.aggregation.contract import WEIGHTS_SUM_TO_ONE, Aggregate, Memory, Rule, RuleContext, Update
from fedtune3d.aggregation.site_step import SiteStep

MIN_LOSS = 1e-10


@dataclass(frozen=True)
class TrainingLossStep(SiteStep):
    """Send the loss of the received state over the site's training scans, F_k, with the update."""

    scores_training = True


@dataclass(frozen=True)
class QFedAvg(Rule):
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
    """

    name = "qfedavg"
    step_type = TrainingLossStep
    implies = frozenset({WEIGHTS_SUM_TO_ONE})
    needs_single_updates = True
    q: NonNegative = 0.1
    rate: Positive = 1.0

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        return state, Memory({PARAMETERS: parameters_at_start(state, context)})

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        return TrainingLossStep()

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """Apply the weighted step. Raises `ValueError` with the site if a training loss is missing, infinite or < 0."""
        names = parameters_of(state, memory)
        lipschitz = 1 / self.rate
        losses = {update.site: _loss(update) for update in in_site_order(updates)}
        powers = {site: (loss + MIN_LOSS) ** self.q for site, loss in losses.items()}
        squares = {update.site: _square(state, update, names) for update in in_site_order(updates)}
        total = math.fsum(
            self.q * (losses[site] + MIN_LOSS) ** (self.q - 1) * lipschitz**2 * squares[site] + lipschitz * power
            for site, power in powers.items()
        )
        step = lipschitz * math.fsum(powers.values()) / total
        means = mean_in_float64(state, updates, powers)
        steps = {name: step * mean_change for name, mean_change in change(state, means, names).items()}
        signals = {site: {"received_training_loss": losses[site], "squared_change": squares[site]} for site in losses}
        return Aggregate(moved(state, means, steps), shares(powers), memory, signals, {"step": step})


def _loss(update: Update) -> float:
    loss = update.received_training_loss
    if loss is None or not math.isfinite(loss) or loss < 0:
        raise ValueError(f"site {update.site}: expected received_training_loss, finite and at least 0, got {loss}")
    return loss


def _square(state: State, update: Update, names: Sequence[str]) -> float:
    changes = change(state, load_checked(update, state), names)
    return math.fsum(float(difference.square().sum()) for difference in changes.values())
