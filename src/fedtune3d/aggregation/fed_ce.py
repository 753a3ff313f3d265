"""FedCE: sites are weighted by their contributions in gradient space and in data space."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch

from fedtune3d._utils.json_values import JsonLike
from fedtune3d._utils.ranges import Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import in_site_order, load_checked, shares
from fedtune3d.aggregation.changes import PARAMETERS, ChangeRule, change, parameters_of
from fedtune3d.aggregation.contract import (
    AVERAGING,
    Aggregate,
    Memory,
    Update,
)
from fedtune3d.aggregation.lora_factors import factor_pairs, from_products, to_products
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE, ScoreKind
from fedtune3d.aggregation.site_step import Parts, SiteStep
from fedtune3d.aggregation.sums import Sums, Weighing

WEIGHTS, COSINES, SCORES, LAST_WEIGHTS = "weights", "cosines", "scores", "last_weights"
Mode = Literal["plus", "times"]

LEAVE_ONE_OUT_SCORE = "leave_one_out_score"
"""Validation score of the received state without the site's own contribution (`leave_one_out_state`). Absent in a
site's first round, when it has not trained yet."""

COSINE = "cosine"
"""Scalar of a site in the lagged form: s_k of the round before."""

RECEIVED_STATE = "received_state"
"""Part of a site's memory in the lagged form: the state that it trained from."""

SENT_STATE = "sent_state"
"""Part of a site's memory: its state after its last accepted training."""


class RunningMean(NamedTuple):
    """The number of a site's values so far, and their mean."""

    values: int
    mean: float


RunningMeans = dict[str, RunningMean]
"""Site → running mean."""


@dataclass(frozen=True)
class LeaveOneOutStep(SiteStep):
    """Score the received state without the site's own last contribution, and remember the trained state.

    Attributes:
        weight: c_k, the site's weight in the previous round, 0 or more, below 1; None if it contributed nothing.
        scaling: s = alpha / rank if the rule runs on products of LoRA factors; None in factor space.
        cosine_over: In the lagged form, the parameters over which the site computes its cosine; otherwise empty.
        last_weight: In the lagged form, c_k in the round immediately before; None if the site had no part in it.
    """

    own_scores = (LEAVE_ONE_OUT_SCORE,)
    own_scalars = (COSINE,)
    per_site = ("weight", "last_weight")
    weight: float | None = None
    scaling: float | None = None
    cosine_over: tuple[str, ...] = ()
    last_weight: float | None = None

    def in_product_space(self, scaling: float) -> "LeaveOneOutStep":
        return replace(self, scaling=scaling)

    def states_to_score(self, received: State, remembered: Parts) -> dict[str, State]:
        if self.weight is None or SENT_STATE not in remembered:
            return {}
        without = leave_one_out_state(received, remembered[SENT_STATE], self.weight, self.scaling)
        return {LEAVE_ONE_OUT_SCORE: without}

    def scalars(self, received: State, trained: State, remembered: Parts) -> dict[str, float]:
        """The cosine of the round before: w_{t+1} − w_t is the step that all sites made together."""
        if self.last_weight is None or not {RECEIVED_STATE, SENT_STATE} <= remembered.keys():
            return {}
        states = [remembered[RECEIVED_STATE], remembered[SENT_STATE], received]
        if self.scaling is not None:
            states = [to_products(state, factor_pairs(state), self.scaling) for state in states]
        before, own, after = states
        consensus, change_of_own = change(before, after, self.cosine_over), change(before, own, self.cosine_over)
        return {COSINE: cosine_to_others(consensus, change_of_own, self.last_weight)}

    def to_remember(self, trained: State, sent: Parts, remembered: Parts) -> dict[str, State]:
        return super().to_remember(trained, sent, remembered) | {SENT_STATE: trained}

    def received_to_remember(self, received: State) -> dict[str, State]:
        if not self.cosine_over:
            return {}
        return {RECEIVED_STATE: {name: tensor.clone() for name, tensor in received.items()}}  # files hold no aliases


@dataclass(frozen=True)
class FedCE(ChangeRule):
    """w ← w + Σ_k c_k Δ_k, with c_k ∝ g_k + e_k (``plus``) or g_k e_k (``times``).

    * Gradient space: s_k = cos(Δ_k, Σ_j c_j Δ_j − c_k Δ_k) over the trained parameters, with the previous c (initially
      uniform; 1 / (sites weighted so far + 1) for a late site), and 0 if either vector is zero;
      g_k ∝ max(0, 1 − mean over rounds of s_k).
    * Data space: e_k ∝ 1 − mean over rounds of the score, on the site's own validation set, of the leave-one-out state
      (`leave_one_out_state`), computed before the site trains. In a site's first round, before it has contributed, the
      score counts as 0.

    g, e and their combination are each clipped below at `epsilon` and divided by their sum over the round's sites.
    Jiang et al. 2023, CVPR, arXiv:2303.16520. The authors' published code and NVFlare 2.9's
    (nvflare/app_opt/pt/fedce.py) differ; we follow NVFlare, which keeps the weights of absent sites.

    AUC is undefined on validation sets of one class: the site sends the loss-based score instead, which is compared
    directly with the other sites' AUC, and the signal ``leave_one_out_by_loss`` is 1. A site without a validation set
    sends no score; its e_k is the mean over the sites that have one (uniform if none has). Running means do not change
    in a round without a score. A near-perfect score on a tiny validation set gives e_k → 0; a mislabelled site also
    looks novel. The leave-one-out state is exact only if all sites took part in the previous round; it does not exist
    for a lone site, whose weight is 1.

    In the lagged form, which secure aggregation requires, each site computes its own s_k when it receives the state of
    the next round: that state minus the previous one is Σ_j c_j Δ_j with the weights of that round, and the site knows
    its own Δ_k and c_k. So s_k uses the weights of its own round instead of the previous one's, and counts one round
    later; in the first round the weights follow from e_k alone. A site that missed the previous round adds no cosine;
    a site without any has the mean of the others.

    Memory use: two states (float64) and one update at a time, each read three times (lagged: one state); each site's
    weight and the count and mean of its cosines and of its scores are kept between rounds, and each site keeps its last
    trained state (lagged: also the state from which it trained).

    Options:
        mode: plus or times.
        score: auc, balanced_accuracy or loss.
        epsilon: Lower bound of the shares, above 0.
        lagged: Whether the sites compute their cosines, one round later.
    """

    name = "fedce"
    step_type = LeaveOneOutStep
    implies = AVERAGING
    mode: Mode = "plus"
    score: ScoreKind = "auc"
    epsilon: Positive = 1e-6
    lagged: bool = False

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        weight = memory.read(WEIGHTS, dict[str, float], {}).get(site)
        step = LeaveOneOutStep(score_kind=self.score, weight=weight if weight is not None and weight < 1 else None)
        if not self.lagged:
            return step
        last = memory.read(LAST_WEIGHTS, dict[str, float], {}).get(site)
        return replace(step, cosine_over=tuple(memory.read(PARAMETERS, list[str], [])), last_weight=last)

    def on_sums(self) -> Self:
        return replace(self, lagged=True)

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """Weight the updates by their contributions, and average them."""
        if not self.lagged:
            ordered = in_site_order(updates)
            prior = _prior(memory.read(WEIGHTS, dict[str, float], {}), ordered)
            cosines = _cosines(state, ordered, prior, parameters_of(state, memory))
            updates = [replace(update, scalars={COSINE: cosines[update.site]}) for update in ordered]
        return super().aggregate(state, updates, memory)

    def weigh(self, updates: Sequence[Update], memory: Memory) -> Weighing:
        """Weight each update by the novelty of its gradients and of its data."""
        ordered = in_site_order(updates)
        cosine_means, score_means = _with_new(ordered, memory)
        sites = [update.site for update in ordered]
        in_gradients = self._normalised(_novelty(cosine_means, sites))
        in_data = self._normalised(_novelty(score_means, sites))
        weights = self._normalised({site: self._combine(in_gradients[site], in_data[site]) for site in sites})
        signals = {
            update.site: {
                **_cosine_signals(update, cosine_means),
                "gradient_share": in_gradients[update.site],
                "data_share": in_data[update.site],
                **_score_signals(update, score_means),
            }
            for update in ordered
        }
        return Weighing(weights, signals)

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        """Average the states by their contributions, and remember cosines, scores and weights."""
        weights = shares(weighing.amounts) if self.lagged else weighing.amounts
        cosine_means, score_means = _with_new(in_site_order(updates), memory)
        before = memory.read(WEIGHTS, dict[str, float], {})
        values: dict[str, JsonLike] = {WEIGHTS: {**before, **weights}, COSINES: cosine_means, SCORES: score_means}
        if self.lagged:
            values[LAST_WEIGHTS] = dict(weights)
        after = Memory({**memory.values, **values})
        return Aggregate(sums.average(state), weights, after, weighing.signals)

    def _combine(self, in_gradients: float, in_data: float) -> float:
        return in_gradients + in_data if self.mode == "plus" else in_gradients * in_data

    def _normalised(self, values: Mapping[str, float]) -> dict[str, float]:
        return shares({site: max(value, self.epsilon) for site, value in values.items()})


def leave_one_out_state(received: State, last: State, weight: float, scaling: float | None = None) -> State:
    """Compute w_{−k} = (w − c_k w_k) / (1 − c_k), which a site scores before it trains.

    LoRA factors are treated like any tensor, unless `scaling` is given: in product space (`lora_factors.py`), the
    factors are the received ones, and the residual takes up the rest of the product. Integers, Booleans, and names
    missing in `last` are returned as received.

    Args:
        received: w, the state received in this round.
        last: w_k, the site's own state after its last accepted training, including names that are not sent.
        weight: c_k, 0 or more, below 1.
        scaling: s = alpha / rank in product space; None in factor space.

    Raises:
        ValueError: If the weight is out of range.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"leave-one-out weight: expected a number of at least 0 and below 1, got {weight}")
    if scaling is None:
        return {name: _without(tensor, last.get(name), weight) for name, tensor in received.items()}
    pairs = factor_pairs(received)
    products, last_products = (to_products(state, pairs, scaling) for state in (received, last))
    remaining = {name: _without(tensor, last_products.get(name), weight) for name, tensor in products.items()}
    state = from_products(remaining, received, pairs, scaling)
    return {name: state[name] for name in received}


def _without(tensor: torch.Tensor, own: torch.Tensor | None, weight: float) -> torch.Tensor:
    if own is None or not tensor.is_floating_point():
        return tensor.clone()
    return ((tensor.double() - weight * own.double()) / (1 - weight)).to(tensor.dtype)


def _prior(before: Mapping[str, float], updates: Sequence[Update]) -> dict[str, float]:
    unseen = 1 / (len(before) + 1) if before else 1 / len(updates)
    return {update.site: before.get(update.site, unseen) for update in updates}


def _cosines(
    state: State, updates: Sequence[Update], prior: Mapping[str, float], names: Sequence[str]
) -> dict[str, float]:
    """Compute cos(Δ_k, Σ_j c_j Δ_j − c_k Δ_k) per site; each update is read twice."""
    consensus = {name: torch.zeros(state[name].shape, dtype=torch.float64) for name in names}
    for update in updates:
        for name, difference in change(state, load_checked(update, state), names).items():
            consensus[name].add_(difference, alpha=prior[update.site])
    return {
        update.site: cosine_to_others(consensus, change(state, load_checked(update, state), names), prior[update.site])
        for update in updates
    }


def cosine_to_others(consensus: State, own: State, weight: float) -> float:
    """cos(Δ_k, S − c_k Δ_k), given S, Δ_k and c_k; 0 where either vector is zero."""
    others = {name: tensor - weight * own[name] for name, tensor in consensus.items()}
    norms = math.sqrt(_dot(own, own)) * math.sqrt(_dot(others, others))
    return max(-1.0, min(1.0, _dot(own, others) / norms)) if norms > 0 else 0.0


def _with_new(updates: Sequence[Update], memory: Memory) -> tuple[RunningMeans, RunningMeans]:
    """The running means of cosines and of scores with those of this round."""
    cosines = {update.site: update.scalars[COSINE] for update in updates if COSINE in update.scalars}
    counted = memory.read(SCORES, RunningMeans, {})
    cosine_means = _extend(memory.read(COSINES, RunningMeans, {}), cosines)
    return cosine_means, _extend(counted, _leave_one_out_scores(updates, counted))


def _dot(left: State, right: State) -> float:
    return math.fsum(float((left[name] * right[name]).sum()) for name in left)


def _leave_one_out_scores(updates: Sequence[Update], means_before: RunningMeans) -> dict[str, float]:
    """Return the scores to be added in this round: 0 for the first round of a site with a validation set."""
    scores = {}
    for update in updates:
        if LEAVE_ONE_OUT_SCORE in update.scores:
            scores[update.site] = update.scores[LEAVE_ONE_OUT_SCORE].value
        elif update.scores.keys() & {SENT_SCORE, RECEIVED_SCORE} and update.site not in means_before:
            scores[update.site] = 0.0
    return scores


def _extend(means: RunningMeans, values: Mapping[str, float]) -> RunningMeans:
    """Return the running means with one new value for some of the sites."""
    extended = dict(means)
    for site, value in values.items():
        count, mean = means.get(site, RunningMean(0, 0.0))
        extended[site] = RunningMean(count + 1, mean + (value - mean) / (count + 1))
    return extended


def _novelty(score_means: RunningMeans, sites: Sequence[str]) -> dict[str, float]:
    """Compute 1 − mean score per site; sites without scores get the mean of the others, or 1 if no site has scores."""
    known = {site: 1 - score_means[site].mean for site in sites if site in score_means}
    neutral = math.fsum(known.values()) / len(known) if known else 1.0
    return {site: known.get(site, neutral) for site in sites}


def _cosine_signals(update: Update, cosine_means: RunningMeans) -> dict[str, float]:
    signals = {COSINE: update.scalars[COSINE]} if COSINE in update.scalars else {}
    known = {"cosine_mean": cosine_means[update.site].mean} if update.site in cosine_means else {}
    return signals | known


def _score_signals(update: Update, score_means: RunningMeans) -> dict[str, float]:
    signals: dict[str, float] = {}
    if score := update.scores.get(LEAVE_ONE_OUT_SCORE):
        signals |= {LEAVE_ONE_OUT_SCORE: score.value, "leave_one_out_by_loss": float(score.by_loss)}
    if update.site in score_means:
        signals["leave_one_out_mean"] = score_means[update.site].mean
    return signals
