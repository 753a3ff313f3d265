"""Rate-My-LoRA: sites whose validation score falls count less."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import example_counts, in_site_order, mean_in_float64, shares
from fedtune3d.aggregation.changes import moved
from fedtune3d.aggregation.checks import is_by_loss, read_score
from fedtune3d.aggregation.contract import (
    AVERAGING,
    KIND,
    RECEIVED_SCORE,
    SCORE_KINDS,
    SENT_SCORE,
    Aggregate,
    Memory,
    Rule,
    Update,
)
from fedtune3d.aggregation.options import require_choice, require_flag, require_number
from fedtune3d.aggregation.site_step import SiteStep

RATINGS = ("drop", "ratio", "softmax")
LEAST_RATING = 1e-6
SITES = "sites"

History = Mapping[str, Any]
"""A site's scores so far: ``kind``, ``best`` and ``last``; empty where there are none."""


@dataclass(frozen=True)
class RateMyLoRA(Rule):
    """w ← w + Σ_k r_k n_k Δ_k / Σ_k r_k n_k, with a rating r_k in (0, 1] from the site's own validation scores.

    He et al. 2025, ISBI, arXiv:2501.03223, print W_t = W_{t−1} + Σ_c w_t(c) |D^c| B_c A_c / Σ_c |D^c|: products of
    LoRA factors, which `lora.py` puts in place of w (``restart`` for the printed form, which begins each round at
    B = 0; without LoRA, Δ takes the place of B A). Its sum of shares also shrinks the step; `renormalise` false is that
    printed form. The paper says that sites are penalised after comparing validation accuracy, but no formula of w_t(c)
    is known to us. So the ratings are ours:

    * ``drop``: exp(−max(0, best − score) / τ), with the score of the state that the site sends back and the best of its
      rounds before.
    * ``ratio``: min(1, score of the received state / score of the state that the site last sent): how well the global
      state that was made with it does against its own.
    * ``softmax``: of the change of score since the site's last round, over τ; scaled so that the best site of the round
      has 1.

    A site's first round has rating 1 (``drop``, ``ratio``) or change 0 (``softmax``); so has the first after its kind
    of score has changed. No rating is under 1e-6, so that a site can come back.

    A validation set of one class has no AUC: the site sends the loss-based score, which is compared with its own alone.
    A site without a validation set has the mean rating of those of its round that have one, 1 where none has. On a
    validation set of two participants the AUC jumps between 0 and 1 and the rating with it.

    Holds one state (float64) and one update. Remembers per site the kind, the best and the last of its scores.

    Options:
        rating: drop, ratio or softmax.
        temperature: τ, above 0.
        renormalise: Whether weights sum to 1 in the step.
        score: auc, balanced_accuracy or loss.
    """

    name = "rate_my_lora"
    implies = AVERAGING
    rating: str = "drop"
    temperature: float = 0.02
    renormalise: bool = True
    score: str = "auc"

    def __post_init__(self) -> None:
        require_choice(self, "rating", RATINGS)
        require_number(self, "temperature", above=0)
        require_flag(self, "renormalise")
        require_choice(self, "score", SCORE_KINDS)

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        return SiteStep(score_kind=self.score)

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """As above. Raises `ValueError` naming a site whose score is not in [0, 1]."""
        ordered = in_site_order(updates)
        histories: Mapping[str, History] = memory.values.get(SITES, {})
        scores = {u.site: score for u in ordered if (score := read_score(u, SENT_SCORE)) is not None}
        known = {update.site: _known(histories, update) for update in ordered}
        ratings = self._ratings(ordered, scores, known)
        counts = example_counts(ordered)
        amounts = {site: ratings[site] * counts[site] for site in counts}
        step = 1.0 if self.renormalise else math.fsum(amounts.values()) / math.fsum(counts.values())

        means = mean_in_float64(state, ordered, amounts)
        floating = [name for name, tensor in state.items() if tensor.is_floating_point()]
        steps = {name: step * (means[name] - state[name].double()) for name in floating}
        signals = {u.site: _signals(u, ratings[u.site], scores.get(u.site), known[u.site]) for u in ordered}
        new = {u.site: _remember(u, scores[u.site], known[u.site]) for u in ordered if u.site in scores}
        after = Memory({SITES: {**histories, **new}})
        return Aggregate(moved(state, means, steps), shares(amounts), after, signals, {"step": step})

    def _ratings(
        self, updates: Sequence[Update], scores: Mapping[str, float], known: Mapping[str, History]
    ) -> dict[str, float]:
        rated = {u.site: self._rate(u, scores[u.site], known[u.site]) for u in updates if u.site in scores}
        if self.rating == "softmax" and rated:
            largest = max(rated.values())
            rated = {site: math.exp((value - largest) / self.temperature) for site, value in rated.items()}
        rated = {site: max(value, LEAST_RATING) for site, value in rated.items()}
        neutral = math.fsum(rated.values()) / len(rated) if rated else 1.0
        return {update.site: rated.get(update.site, neutral) for update in updates}

    def _rate(self, update: Update, score: float, known: History) -> float:
        """The rating, or for softmax the change of score that it is made of."""
        if self.rating == "softmax":
            return score - known["last"] if known else 0.0
        if not known:
            return 1.0
        if self.rating == "drop":
            return math.exp(-max(0.0, known["best"] - score) / self.temperature)
        received = read_score(update, RECEIVED_SCORE)
        return 1.0 if received is None or known["last"] == 0 else min(1.0, received / known["last"])


def _known(histories: Mapping[str, History], update: Update) -> History:
    """What is known of the site's scores, as far as they are of the same kind as this round's."""
    known = histories.get(update.site, {})
    return known if known.get("kind") == update.metrics.get(SENT_SCORE + KIND) else {}


def _remember(update: Update, score: float, known: History) -> History:
    kind = update.metrics.get(SENT_SCORE + KIND)
    return {"kind": kind, "best": max(score, known.get("best", score)), "last": score}


def _signals(update: Update, rating: float, score: float | None, known: History) -> dict[str, float]:
    signals = {"rating": rating}
    if score is not None:
        signals |= {"score": score, "score_by_loss": float(is_by_loss(update, SENT_SCORE))}
        signals |= {"best_before": known["best"], "last": known["last"]} if known else {}
    return signals
