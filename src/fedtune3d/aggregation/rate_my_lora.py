"""Rate-My-LoRA: sites whose validation scores drop get lower weights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from fedtune3d._utils.ranges import Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import example_counts, in_site_order, shares
from fedtune3d.aggregation.changes import moved
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, Update
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE, ScoreKind, SiteScore
from fedtune3d.aggregation.site_step import SiteStep
from fedtune3d.aggregation.sums import SumRule, Sums, Weighing

Rating = Literal["drop", "ratio", "softmax"]
MIN_RATING = 1e-6
SITES = "sites"


@dataclass(frozen=True)
class ScoreHistory:
    """A site's best and last score, both of the same kind."""

    kind: ScoreKind
    best: float
    last: float


@dataclass(frozen=True)
class RateMyLoRA(SumRule):
    """w ← w + Σ_k r_k n_k Δ_k / Σ_k r_k n_k, with a rating r_k in (0, 1] from the site's own validation scores.

    He et al. 2025, ISBI, arXiv:2501.03223, give W_t = W_{t−1} + Σ_c w_t(c) |D^c| B_c A_c / Σ_c |D^c| with products of
    LoRA factors, which `lora.py` substitutes for w (``restart`` is the printed form, which starts each round at B = 0;
    without LoRA, Δ replaces B A). In that form the weights do not sum to 1, which also shortens the step;
    `renormalise` false reproduces it. The paper penalises sites after comparing validation accuracies but gives no
    formula for w_t(c), so the ratings here are ours, and wherever the rule is named it says so. With LoRA it averages
    products by default (``exact``), which is the established part. The ratings:

    * ``drop``: exp(−max(0, best − score) / τ), where score is that of the state sent by the site, and best the highest
      in its earlier rounds.
    * ``ratio``: min(1, score of the received state / score of the state last sent by the site), which compares the
      global state with the site's own contribution to it.
    * ``softmax``: softmax of (change in score since the site's last round) / τ, scaled so that the highest rating in
      the round is 1.

    In a site's first round, and after the kind of its score has changed, the rating is 1 (``drop``, ``ratio``) or the
    change is 0 (``softmax``). Ratings are at least 1e-6, so that a site can recover.

    AUC is undefined on validation sets of one class: the site then sends a loss-based score, which is compared only
    with its own earlier ones. A site without a validation set gets the mean rating of the others in the round, or 1 if
    there are none. On a validation set of two participants, the AUC jumps between 0 and 1, and the rating with it.

    The temperature is chosen so that equally good sites keep their weight: with five validation people of each class a
    site falls below half its share in 0.5 % of rounds at τ = 0.5 and in 57 % at τ = 0.02
    (`benchmarks/rating_temperature.py`). τ = 0.02 is what the sharp changes of weight in the figure of the published
    study (arXiv 2508.21458) suggest.

    Memory use: one state (float64) and one update at a time; for each site the kind, the best and the last of its
    scores are kept between rounds.

    Options:
        rating: drop, ratio or softmax.
        temperature: τ, above 0.
        renormalise: Whether the weights in the step sum to 1.
        score: auc, balanced_accuracy or loss.
    """

    name = "rate_my_lora"
    implies = AVERAGING
    lora_mode = "exact"
    ours = "rating: ours"
    rating: Rating = "drop"
    temperature: Positive = 0.5
    renormalise: bool = True
    score: ScoreKind = "auc"

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        return SiteStep(score_kind=self.score)

    def weigh(self, updates: Sequence[Update], memory: Memory) -> Weighing:
        """Weight each update by its rating times its number of examples."""
        ordered = in_site_order(updates)
        scores, known = _sent_scores(ordered), _known(memory.read(SITES, dict[str, ScoreHistory], {}), ordered)
        ratings = self._ratings(ordered, scores, known)
        counts = example_counts(ordered)
        signals = {u.site: _signals(ratings[u.site], scores.get(u.site), known[u.site]) for u in ordered}
        return Weighing({site: ratings[site] * counts[site] for site in counts}, signals)

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        """Move the state by the mean change under the ratings, and remember the scores."""
        ordered, amounts = in_site_order(updates), weighing.amounts
        counts = example_counts(ordered)
        step = 1.0 if self.renormalise else math.fsum(amounts.values()) / math.fsum(counts.values())
        means = sums.mean(state)
        floating = [name for name, tensor in state.items() if tensor.is_floating_point()]
        steps = {name: step * (means[name] - state[name].double()) for name in floating}
        histories = memory.read(SITES, dict[str, ScoreHistory], {})
        known = _known(histories, ordered)
        new = {site: _remember(score, known[site]) for site, score in _sent_scores(ordered).items()}
        after = Memory({SITES: {site: asdict(history) for site, history in {**histories, **new}.items()}})
        return Aggregate(moved(state, means, steps), shares(amounts), after, weighing.signals, {"step": step})

    def _ratings(
        self, updates: Sequence[Update], scores: Mapping[str, SiteScore], known: Mapping[str, ScoreHistory | None]
    ) -> dict[str, float]:
        rated = {u.site: self._rate(u, scores[u.site].value, known[u.site]) for u in updates if u.site in scores}
        if self.rating == "softmax" and rated:
            largest = max(rated.values())
            rated = {site: math.exp((value - largest) / self.temperature) for site, value in rated.items()}
        rated = {site: max(value, MIN_RATING) for site, value in rated.items()}
        neutral = math.fsum(rated.values()) / len(rated) if rated else 1.0
        return {update.site: rated.get(update.site, neutral) for update in updates}

    def _rate(self, update: Update, score: float, known: ScoreHistory | None) -> float:
        """Compute the rating, or for softmax the change in score."""
        if self.rating == "softmax":
            return score - known.last if known else 0.0
        if not known:
            return 1.0
        if self.rating == "drop":
            return math.exp(-max(0.0, known.best - score) / self.temperature)
        received = update.scores.get(RECEIVED_SCORE)
        return 1.0 if received is None or known.last == 0 else min(1.0, received.value / known.last)


def _sent_scores(updates: Sequence[Update]) -> dict[str, SiteScore]:
    return {update.site: score for update in updates if (score := update.scores.get(SENT_SCORE))}


def _known(histories: Mapping[str, ScoreHistory], updates: Sequence[Update]) -> dict[str, ScoreHistory | None]:
    """The history of each site's scores, as far as they are of the same kind as this round's."""
    scores = _sent_scores(updates)
    known: dict[str, ScoreHistory | None] = {}
    for update in updates:
        history, score = histories.get(update.site), scores.get(update.site)
        known[update.site] = history if history and score and history.kind == score.kind else None
    return known


def _remember(score: SiteScore, known: ScoreHistory | None) -> ScoreHistory:
    return ScoreHistory(score.kind, max(score.value, known.best if known else score.value), score.value)


def _signals(rating: float, score: SiteScore | None, known: ScoreHistory | None) -> dict[str, float]:
    signals = {"rating": rating}
    if score is not None:
        signals |= {"score": score.value, "score_by_loss": float(score.by_loss)}
        signals |= {"best_before": known.best, "last": known.last} if known else {}
    return signals
