"""Membership inference: how well a model's loss tells the people of its training from others.

The attack calls a person a member of the training if the model's loss on their scans is low. It needs the model, the
scans and their labels, and no other model: attacks that train models of their own are stronger, so what it finds is a
lower bound.

References:
    Yeom et al., 2018, IEEE CSF, arXiv:1709.01604, Adversary 2; Carlini et al., 2022, IEEE S&P, arXiv:2112.03570, for
    the true-positive rate at few false positives, and for stronger attacks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.auc_interval import SCORE, AucVariance, auc_interval, shrunken_variance
from fedtune3d.evaluation.delong import auc_and_variance_from_counts
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.intervals import wilson
from fedtune3d.evaluation.mean_over_sites import SiteMean, mean_over_sites
from fedtune3d.evaluation.predictions import Predictions

ONE_FALSE_ALARM_IN = 20
"""One of so many people outside the training may be taken for a member: at most 5% false positives."""
WILSON = "Wilson, by participants, at a threshold set on the test people"
ROUNDING = 1e-9


@dataclass(frozen=True)
class MembershipAttack:
    """The outcome of the attack at a site, on its training people (members) and its test people (others).

    Attributes:
        members: Number of training people.
        auc: Share of pairs of a member and another person in which the member has the lower loss; ties count half.
        auc_variance_ratio: Ratio of `AucVariance`, with the others as its negatives.
        recognised: Members with a lower loss than all others but one in `ONE_FALSE_ALARM_IN`; None if held back.
    """

    members: int
    auc: float
    auc_variance_ratio: float
    recognised: int | None


@dataclass(frozen=True)
class Recognised:
    """Members that the attack recognises while it takes at most one other person in `ONE_FALSE_ALARM_IN` for one.

    Attributes:
        people: Number of recognised members; None if held back.
        members: Number of members.
        by_chance: Number to expect if members and others had the same losses; above 5% at sites of few test people.
        rate: Share of recognised members: the true-positive rate.
    """

    people: int | None
    members: int
    by_chance: float
    rate: Estimate


@dataclass(frozen=True)
class SiteMembership:
    """The attack at one site, on its training people (members) and its test people (others)."""

    members: int
    others: int
    auc: Estimate
    recognised: Recognised


@dataclass(frozen=True)
class MembershipMetrics:
    """The attack on the model, or the models, of a method.

    Attributes:
        sites: Site → the attack there.
        mean_auc: Mean over these sites.
        recognised: Sum over these sites; held back if one of them holds its number back.
    """

    sites: Mapping[str, SiteMembership]
    mean_auc: SiteMean
    recognised: Recognised


def attack_membership(training: Predictions, test: Predictions, min_people: int = 1) -> MembershipAttack | None:
    """Attack a model by its predictions of the scans that it was trained on and of the test scans.

    Args:
        training: Predictions of the site's training scans.
        test: Predictions of its test scans, of other people.
        min_people: The number of recognised members is held back if it, or that of the members who are not recognised,
            is from 1 to `min_people` − 1.

    Returns:
        The outcome; None if either is empty.
    """
    if not len(training) or not len(test):
        return None
    members, others = mean_losses(training), mean_losses(test)
    counts = _counts_by_falling_loss(members, others)
    auc, variance = auc_and_variance_from_counts(*counts, (len(others), len(members)))
    recognised = count_recognised(members, others)
    small = any(0 < part < min_people for part in (recognised, len(members) - recognised))
    return MembershipAttack(
        members=len(members),
        auc=auc,
        auc_variance_ratio=shrunken_variance(auc, variance, len(others), len(members)).ratio,
        recognised=None if small else recognised,
    )


def mean_losses(predictions: Predictions) -> NDArray[np.float64]:
    """Compute (people,) mean cross-entropies over each person's scans, in the order of participant codes."""
    with np.errstate(divide="ignore"):  # a probability of 0 has an infinite loss, which can be ranked
        positive, negative = np.log(predictions.probabilities), np.log1p(-predictions.probabilities)
    losses = -np.where(predictions.labels == 1, positive, negative)
    codes = predictions.participant_codes()
    means: NDArray[np.float64] = np.bincount(codes, weights=losses) / np.bincount(codes)
    return means


def count_recognised(members: NDArray[np.float64], others: NDArray[np.float64]) -> int:
    """Count the members whose loss is below a threshold that at most one other in `ONE_FALSE_ALARM_IN` is below."""
    threshold = np.sort(others)[_false_alarms(len(others))]
    return int(np.sum(members < threshold))


def require_possible_attack(attack: MembershipAttack, others: int) -> None:
    """Check an attack that a site sent against the numbers of people that it is about.

    Args:
        attack: The outcome.
        others: Number of test people of the site.

    Raises:
        ValueError: If a number is impossible, or impossible together with the others.
    """
    members, auc, recognised = attack.members, attack.auc, attack.recognised
    if members < 1 or others < 1:
        raise ValueError(f"a membership attack on {members} training and {others} test people")
    if not 0 <= auc <= 1:
        raise ValueError(f"a membership attack with an AUC of {auc:g}")
    half_pairs = 2 * members * others * auc
    if abs(half_pairs - round(half_pairs)) > ROUNDING * max(1.0, half_pairs):
        raise ValueError(f"a membership attack with an AUC of {auc:g}, which no {members} × {others} pairs have")
    _require_ratio(attack, others)
    if recognised is None:
        return
    if not 0 <= recognised <= members:
        raise ValueError(f"a membership attack that recognises {recognised} of {members} people")
    low, high = _auc_limits(recognised / members, others)
    if not low - ROUNDING <= auc <= high + ROUNDING:
        raise ValueError(
            f"a membership attack with an AUC of {auc:g}, where {recognised} recognised of {members} people allow "
            f"{low:.3g} to {high:.3g}"
        )


def membership_metrics(attacks: Mapping[str, tuple[MembershipAttack, int]]) -> MembershipMetrics | None:
    """Combine the attacks of several sites.

    Args:
        attacks: Site → its attack, checked by `require_possible_attack`, and its number of test people.

    Returns:
        The metrics; None if there is no attack.
    """
    if not attacks:
        return None
    sites = {site: _site_membership(attack, others) for site, (attack, others) in attacks.items()}
    variances = {site: _variance(attack, others) for site, (attack, others) in attacks.items()}
    parts = [site.recognised for site in sites.values()]
    people = [part.people for part in parts if part.people is not None]
    return MembershipMetrics(
        sites=sites,
        mean_auc=mean_over_sites({site: part.auc for site, part in sites.items()}, variances),
        recognised=_recognised(
            sum(people) if len(people) == len(parts) else None,
            sum(part.members for part in parts),
            math.fsum(part.by_chance for part in parts),
        ),
    )


def _counts_by_falling_loss(
    members: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the others and the members per distinct loss, from the greatest to the smallest."""
    bins = np.unique(-np.concatenate([others, members]), return_inverse=True)[1].reshape(-1)
    size = int(bins.max()) + 1
    return np.bincount(bins[: len(others)], minlength=size), np.bincount(bins[len(others) :], minlength=size)


def _false_alarms(others: int) -> int:
    """The greatest number of false alarms among so many people outside the training."""
    return others // ONE_FALSE_ALARM_IN


def _require_ratio(attack: MembershipAttack, others: int) -> None:
    """Bound the ratio by DeLong's variance: components within [0, 1] spread at most as zeros and ones of their mean."""
    members, auc = attack.members, attack.auc
    most = None if min(members, others) < 2 else auc * (1 - auc) * (1 / (members - 1) + 1 / (others - 1))
    least, greatest = (shrunken_variance(auc, variance, others, members).ratio for variance in (0.0, most))
    if not least - ROUNDING <= attack.auc_variance_ratio <= greatest + ROUNDING:
        raise ValueError(
            f"a membership attack with a ratio of variances of {attack.auc_variance_ratio:g}, where {least:.3g} to "
            f"{greatest:.3g} is possible"
        )


def _auc_limits(share: float, others: int) -> tuple[float, float]:
    """The AUCs that are possible if this share of the members is recognised.

    A recognised member has a lower loss than all others but the false alarms. Any other member does not have a lower
    loss than one other more than that, with which the pair is a tie at best.
    """
    allowed = _false_alarms(others)
    low = share * (others - allowed) / others
    return low, share + (1 - share) * (others - (allowed + 1) / 2) / others


def _variance(attack: MembershipAttack, others: int) -> AucVariance:
    return AucVariance(attack.auc_variance_ratio, others, attack.members)


def _site_membership(attack: MembershipAttack, others: int) -> SiteMembership:
    limits = auc_interval(attack.auc, _variance(attack, others))
    auc = defined(attack.auc, limits, SCORE.format(variance="DeLong"), few=min(attack.members, others) < FEW)
    by_chance = attack.members * (_false_alarms(others) + 1) / (others + 1)
    return SiteMembership(attack.members, others, auc, _recognised(attack.recognised, attack.members, by_chance))


def _recognised(people: int | None, members: int, by_chance: float) -> Recognised:
    if people is None:
        return Recognised(None, members, by_chance, undefined("held back, as it is about too few people"))
    rate = people / members
    return Recognised(people, members, by_chance, defined(rate, wilson(rate, members), WILSON, few=members < FEW))
