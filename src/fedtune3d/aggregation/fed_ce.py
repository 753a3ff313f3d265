"""FedCE: sites are weighted by their contributions in gradient space and in data space."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from fedtune3d._utils.json_values import JsonLike
from fedtune3d._utils.ranges import Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import in_site_order, load_checked, shares, weighted_average
from fedtune3d.aggregation.changes import PARAMETERS, change, parameters_at_start, parameters_of
from fedtune3d.aggregation.contract import (
    AVERAGING,
    Aggregate,
    Memory,
    Rule,
    RuleContext,
    Update,
)
from fedtune3d.aggregation.lora_factors import factor_pairs, from_products, to_products
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE, ScoreKind
from fedtune3d.aggregation.site_step import Parts, SiteStep

WEIGHTS, COSINES, SCORES = "weights", "cosines", "scores"
Mode = Literal["plus", "times"]

LEAVE_ONE_OUT_SCORE = "leave_one_out_score"
"""Validation score of the received state without the site's own contribution (`leave_one_out_state`). Absent in a
site's first round, when it has not trained yet."""

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
    """

    own_scores = (LEAVE_ONE_OUT_SCORE,)
    weight: float | None = None
    scaling: float | None = None

    def in_product_space(self, scaling: float) -> "LeaveOneOutStep":
        return replace(self, scaling=scaling)

    def states_to_score(self, received: State, remembered: Parts) -> dict[str, State]:
        if self.weight is None or SENT_STATE not in remembered:
            return {}
        without = leave_one_out_state(received, remembered[SENT_STATE], self.weight, self.scaling)
        return {LEAVE_ONE_OUT_SCORE: without}

    def to_remember(self, trained: State, sent: Parts, remembered: Parts) -> dict[str, State]:
        return super().to_remember(trained, sent, remembered) | {SENT_STATE: trained}


@dataclass(frozen=True)
class FedCE(Rule):
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

    The rule needs single updates, so it cannot be combined with secure aggregation. Memory use: two states (float64)
    and one update at a time, each read three times; each site's weight and the count and mean of its cosines and of
    its scores are kept between rounds, and each site keeps its last trained state.

    Options:
        mode: plus or times.
        score: auc, balanced_accuracy or loss.
        epsilon: Lower bound of the shares, above 0.
    """

    name = "fedce"
    step_type = LeaveOneOutStep
    implies = AVERAGING
    needs_single_updates = True
    mode: Mode = "plus"
    score: ScoreKind = "auc"
    epsilon: Positive = 1e-6

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        return state, Memory({PARAMETERS: parameters_at_start(state, context)})

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        weight = memory.read(WEIGHTS, dict[str, float], {}).get(site)
        return LeaveOneOutStep(score_kind=self.score, weight=weight if weight is not None and weight < 1 else None)

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """Weight the updates by their contributions, and average them."""
        ordered = in_site_order(updates)
        before = memory.read(WEIGHTS, dict[str, float], {})
        cosines = _cosines(state, ordered, _prior(before, ordered), parameters_of(state, memory))
        cosine_means = _extend(memory.read(COSINES, RunningMeans, {}), cosines)
        means_before = memory.read(SCORES, RunningMeans, {})
        score_means = _extend(means_before, _leave_one_out_scores(ordered, means_before))

        sites = [update.site for update in ordered]
        in_gradients = self._normalised({site: 1 - cosine_means[site].mean for site in sites})
        in_data = self._normalised(_novelty(score_means, sites))
        weights = self._normalised({site: self._combine(in_gradients[site], in_data[site]) for site in sites})

        signals = {
            update.site: {
                "cosine": cosines[update.site],
                "cosine_mean": cosine_means[update.site].mean,
                "gradient_share": in_gradients[update.site],
                "data_share": in_data[update.site],
                **_score_signals(update, score_means),
            }
            for update in ordered
        }
        values: dict[str, JsonLike] = {WEIGHTS: {**before, **weights}, COSINES: cosine_means, SCORES: score_means}
        after = Memory({**memory.values, **values})
        return Aggregate(weighted_average(state, ordered, weights), weights, after, signals)

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
    cosines = {}
    for update in updates:
        own = change(state, load_checked(update, state), names)
        others = {name: consensus[name] - prior[update.site] * own[name] for name in names}
        norms = math.sqrt(_dot(own, own)) * math.sqrt(_dot(others, others))
        cosines[update.site] = max(-1.0, min(1.0, _dot(own, others) / norms)) if norms > 0 else 0.0
    return cosines


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


def _score_signals(update: Update, score_means: RunningMeans) -> dict[str, float]:
    signals: dict[str, float] = {}
    if score := update.scores.get(LEAVE_ONE_OUT_SCORE):
        signals |= {LEAVE_ONE_OUT_SCORE: score.value, "leave_one_out_by_loss": float(score.by_loss)}
    if update.site in score_means:
        signals["leave_one_out_mean"] = score_means[update.site].mean
    return signals
