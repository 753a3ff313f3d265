"""q-FedAvg: sites that the model serves badly move it more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.ranges import NonNegative, Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import in_site_order, load_checked, mean_in_float64, shares
from fedtune3d.aggregation.changes import PARAMETERS, change, moved, parameters_at_start, parameters_of
from fedtune3d.aggregation.contract import WEIGHTS_SUM_TO_ONE, Aggregate, Memory, Rule, RuleContext, Update
from fedtune3d.aggregation.site_step import SiteStep

LEAST_LOSS = 1e-10


@dataclass(frozen=True)
class TrainingLossStep(SiteStep):
    """The site also sends the loss of the received state over its training scans, F_k."""

    scores_training = True


@dataclass(frozen=True)
class QFedAvg(Rule):
    """w ← w + Σ_k F_k^q L Δ_k / Σ_k h_k, with h_k = q F_k^(q−1) ‖L Δ_k‖² + L F_k^q, over the trained parameters.

    Li et al. 2020, arXiv:1905.10497, Algorithm 2. F_k is the loss of the received state on the site's training
    examples; 1e-10 is added to it, as in Flower, so that a loss of 0 has a power. Buffers are averaged with the weights
    F_k^q / Σ_j F_j^q, which are also what is reported: the step as a whole is shorter than the average's by
    ``step`` = L Σ F_k^q / Σ h_k (a round signal).

    Holds one state (float64) and one update, each read twice; remembers nothing but names. Looks at no validation
    score, so a validation set of one class or none makes no difference; a site of two participants counts as much as
    the largest where its loss does.

    Options:
        q: at least 0; 0 is SimpleAvg. 0.1 by default, as in Flower.
        rate: 1 / L, above 0. The paper's L is the reciprocal of the rate of local SGD, tuned at q = 0. Under AdamW
            Δ / rate is no gradient; 1 by default, ours, which leaves ‖Δ‖² as it is.
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
        """As above. Raises `ValueError` naming a site that sent no finite training loss of at least 0."""
        names = parameters_of(state, memory)
        lipschitz = 1 / self.rate
        losses = {update.site: _loss(update) for update in in_site_order(updates)}
        powers = {site: (loss + LEAST_LOSS) ** self.q for site, loss in losses.items()}
        squares = {update.site: _square(state, update, names) for update in in_site_order(updates)}
        total = math.fsum(
            self.q * (losses[site] + LEAST_LOSS) ** (self.q - 1) * lipschitz**2 * squares[site] + lipschitz * power
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
    return math.fsum(float(d.square().sum()) for d in change(state, load_checked(update, state), names).values())
