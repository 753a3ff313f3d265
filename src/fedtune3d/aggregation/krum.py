"""Krum and multi-Krum: the updates closest to their nearest neighbours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.ranges import Count, CountOrZero
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import in_site_order, load_checked, shares, weighted_average
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, Rule, Update


@dataclass(frozen=True)
class Krum(Rule):
    """w ← the mean of the `keep` updates with the lowest scores Σ_j ‖w_k − w_j‖², over the N − f − 2 nearest j.

    Blanchard et al. 2017, arXiv:1703.02757, §4; `keep` 1 is Krum, more is multi-Krum, whose chosen updates count
    equally, as in the paper (Flower weights them by examples, which a site could overstate). Distances are over all
    floating-point tensors. At least one neighbour is used; ties go to the alphabetically first site. The paper's
    guarantee requires N ≥ 2 f + 3: the round signal ``guarantee`` is 1 if this holds, else 0.

    Memory use: all updates of the round, in their own dtypes; nothing is kept between rounds. The weights are 1 / keep
    for the chosen sites and 0 for the others. Uses no validation scores; a site of two participants counts as much as
    the largest, and a site whose people differ from the others' is rarely chosen.

    Options:
        malicious: f, the maximum number of faulty sites, an integer of at least 0.
        keep: Number of updates to average, at least 1; all of them if a round has fewer.
    """

    name = "krum"
    implies = AVERAGING
    without_sums = (
        "it compares updates with each other. Choose fedavg: participation.max_norm then bounds each update at its site"
    )
    malicious: CountOrZero = 1
    keep: Count = 1

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """Average the `keep` updates with the lowest Krum scores."""
        received = {update.site: load_checked(update, state) for update in in_site_order(updates)}
        scores = krum_scores(list(received.values()), self.malicious)
        by_score = sorted(zip(scores, received, strict=True))
        chosen = {site for _, site in by_score[: self.keep]}
        amounts = {site: float(site in chosen) for site in received}
        signals = {site: {"krum_score": score} for score, site in by_score}
        guarantee = float(len(received) >= 2 * self.malicious + 3)
        averaged = weighted_average(state, updates, amounts)
        return Aggregate(averaged, shares(amounts), memory, dict(sorted(signals.items())), {"guarantee": guarantee})


def krum_scores(states: Sequence[State], malicious: int) -> list[float]:
    """Compute each state's sum of squared distances to its max(1, N − f − 2) nearest others; 0 if there is only one."""
    count = len(states)
    distances = [[0.0] * count for _ in range(count)]
    for i in range(count):
        for j in range(i):
            distances[i][j] = distances[j][i] = _squared_distance(states[i], states[j])
    nearest = max(1, count - malicious - 2)
    return [math.fsum(sorted(row[:i] + row[i + 1 :])[:nearest]) for i, row in enumerate(distances)]


def _squared_distance(left: State, right: State) -> float:
    return math.fsum(
        float((tensor.double() - right[name].double()).square().sum())
        for name, tensor in left.items()
        if tensor.is_floating_point()
    )
