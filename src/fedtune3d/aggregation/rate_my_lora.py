"""Rate-My-LoRA: sites whose validation score falls count less."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from fedtune3d._utils.ranges import Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import example_counts, in_site_order, mean_in_float64, shares
from fedtune3d.aggregation.changes import moved
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, Rule, Update
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE, ScoreKind, SiteScore
from fedtune3d.aggregation.site_step import SiteStep

Rating = Literal["drop", "ratio", "softmax"]
LEAST_RATING = 1e-6
SITES = "sites"


@dataclass(frozen=True)
class ScoreHistory:
    """A site's scores so far, all of one kind."""

    kind: ScoreKind
    best: float
    last: float


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
    of score has changed. No rating falls below 1e-6, so that a site can recover.

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
    rating: Rating = "drop"
    temperature: Positive = 0.02
    renormalise: bool = True
    score: ScoreKind = "auc"

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        return SiteStep(score_kind=self.score)

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """As above."""
        ordered = in_site_order(updates)
        histories = memory.read(SITES, dict[str, ScoreHistory], {})
        scores = {u.site: score for u in ordered if (score := u.scores.get(SENT_SCORE))}
        known = {update.site: _known(histories, update) for update in ordered}
        ratings = self._ratings(ordered, scores, known)
        counts = example_counts(ordered)
        amounts = {site: ratings[site] * counts[site] for site in counts}
        step = 1.0 if self.renormalise else math.fsum(amounts.values()) / math.fsum(counts.values())

        means = mean_in_float64(state, ordered, amounts)
        floating = [name for name, tensor in state.items() if tensor.is_floating_point()]
        steps = {name: step * (means[name] - state[name].double()) for name in floating}
        signals = {u.site: _signals(ratings[u.site], scores.get(u.site), known[u.site]) for u in ordered}
        new = {site: _remember(score, known[site]) for site, score in scores.items()}
        after = Memory({SITES: {site: asdict(history) for site, history in {**histories, **new}.items()}})
        return Aggregate(moved(state, means, steps), shares(amounts), after, signals, {"step": step})

    def _ratings(
        self, updates: Sequence[Update], scores: Mapping[str, SiteScore], known: Mapping[str, ScoreHistory | None]
    ) -> dict[str, float]:
        rated = {u.site: self._rate(u, scores[u.site].value, known[u.site]) for u in updates if u.site in scores}
        if self.rating == "softmax" and rated:
            largest = max(rated.values())
            rated = {site: math.exp((value - largest) / self.temperature) for site, value in rated.items()}
        rated = {site: max(value, LEAST_RATING) for site, value in rated.items()}
        neutral = math.fsum(rated.values()) / len(rated) if rated else 1.0
        return {update.site: rated.get(update.site, neutral) for update in updates}

    def _rate(self, update: Update, score: float, known: ScoreHistory | None) -> float:
        """The rating, or for softmax the change of score that it is made of."""
        if self.rating == "softmax":
            return score - known.last if known else 0.0
        if not known:
            return 1.0
        if self.rating == "drop":
            return math.exp(-max(0.0, known.best - score) / self.temperature)
        received = update.scores.get(RECEIVED_SCORE)
        return 1.0 if received is None or known.last == 0 else min(1.0, received.value / known.last)


def _known(histories: Mapping[str, ScoreHistory], update: Update) -> ScoreHistory | None:
    """The history of the site's scores, as far as they are of the same kind as this round's."""
    known, score = histories.get(update.site), update.scores.get(SENT_SCORE)
    return known if known and score and known.kind == score.kind else None


def _remember(score: SiteScore, known: ScoreHistory | None) -> ScoreHistory:
    return ScoreHistory(score.kind, max(score.value, known.best if known else score.value), score.value)


def _signals(rating: float, score: SiteScore | None, known: ScoreHistory | None) -> dict[str, float]:
    signals = {"rating": rating}
    if score is not None:
        signals |= {"score": score.value, "score_by_loss": float(score.by_loss)}
        signals |= {"best_before": known.best, "last": known.last} if known else {}
    return signals
