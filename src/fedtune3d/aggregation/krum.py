"""Krum and multi-Krum: the updates that lie closest to their neighbours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.ranges import Count, CountOrZero
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import in_site_order, load_checked, shares, weighted_average
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, Rule, Update


@dataclass(frozen=True)
class Krum(Rule):
    """w ← the mean of the `keep` updates of the least score: the sum of ‖w_k − w_j‖² over the N − f − 2 nearest j.

    Blanchard et al. 2017, arXiv:1703.02757, §4; `keep` 1 is Krum, more is multi-Krum, whose chosen updates count the
    same, as in the paper (Flower weighs them by examples, which a site could overstate). Distances are over all
    floating-point tensors. At least one neighbour is counted; ties go to the earlier name. The paper's guarantee needs
    N ≥ 2 f + 3: the round signal ``guarantee`` is 1 where that holds, 0 where it does not.

    Holds the updates of all sites of the round, in their own dtypes. Remembers nothing. The weights are 1 / keep for
    the chosen and 0 for the rest. Looks at no score; a site of two participants counts as much as the largest, and one
    whose people differ from the others' is seldom chosen.

    Options:
        malicious: f, the sites that may be faulty, a whole number of at least 0.
        keep: How many updates are averaged, at least 1; all of them where a round has fewer.
    """

    name = "krum"
    implies = AVERAGING
    needs_single_updates = True
    malicious: CountOrZero = 1
    keep: Count = 1

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
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
    """Per state, the sum of its squared distances to its max(1, N − f − 2) nearest others; 0 for a lone one."""
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
