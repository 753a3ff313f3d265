"""The membership attack, on losses whose outcome is known by hand, against scikit-learn, and with forged outcomes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from fedtune3d.evaluation.auc_estimate import auc_estimate
from fedtune3d.evaluation.membership import (
    MembershipAttack,
    attack_membership,
    count_recognised,
    mean_losses,
    membership_metrics,
    require_possible_attack,
)
from fedtune3d.evaluation.predictions import Predictions

NOBODY = Predictions((), (), np.array([], int), np.array([]))


def of_true_class(*probabilities: float) -> Predictions:
    """One positive scan per person, with these probabilities."""
    names = tuple(f"p{row:03d}" for row in range(len(probabilities)))
    return Predictions(names, ("",) * len(names), np.ones(len(names), int), np.array(probabilities))


def drawn(seed: int) -> tuple[Predictions, Predictions]:
    """Training and test scans of both classes and of people with several scans; the training ones fit better."""
    rng = np.random.default_rng(seed)

    def split(people: int, gain: float) -> Predictions:
        owners = np.repeat(np.arange(people), rng.integers(1, 4, size=people))
        labels = owners % 2
        logits = (2 * labels - 1) * rng.normal(gain, 2, len(owners))
        if seed % 3 == 0:
            logits = np.round(logits)  # ties
        names = tuple(f"p{owner:03d}" for owner in owners)
        return Predictions(names, tuple(map(str, range(len(owners)))), labels, 1 / (1 + np.exp(-logits)))

    return split(int(rng.integers(1, 120)), float(rng.uniform(0, 4))), split(int(rng.integers(1, 90)), 0.5)


def test_perfectly_separated_losses_give_everybody_away() -> None:
    attack = attack_membership(of_true_class(0.99, 0.98, 0.97), of_true_class(0.9, 0.8))
    assert attack is not None
    assert (attack.members, attack.auc, attack.recognised) == (3, 1.0, 3)


def test_identical_losses_give_nobody_away() -> None:
    attack = attack_membership(of_true_class(*[0.7] * 30), of_true_class(*[0.7] * 25))
    assert attack is not None
    assert (attack.auc, attack.recognised) == (0.5, 0)


def test_pairs_are_counted_by_hand() -> None:
    """Members 0.9, 0.5 and 0.2 against 0.6 and 0.5: two pairs, half a pair, none; one member is better than both."""
    attack = attack_membership(of_true_class(0.9, 0.5, 0.2), of_true_class(0.6, 0.5))
    assert attack is not None
    assert attack.auc == pytest.approx(2.5 / 6)
    assert attack.recognised == 1


def test_a_person_counts_once_with_the_mean_loss_of_their_scans() -> None:
    scans = Predictions(("a", "b", "a"), ("1", "1", "2"), np.array([1, 0, 0]), np.array([0.5, 0.25, 0.75]))
    assert mean_losses(scans) == pytest.approx([(-np.log(0.5) - np.log(0.25)) / 2, -np.log(0.75)])


def test_a_probability_of_zero_has_the_greatest_loss() -> None:
    attack = attack_membership(of_true_class(0.0, 1.0), of_true_class(0.0, 1e-300))
    assert attack is not None
    assert attack.auc == pytest.approx((0.5 + 2) / 4)


@pytest.mark.parametrize(("others", "allowed"), [(1, 0), (19, 0), (20, 1), (39, 1), (40, 2), (100, 5)])
def test_at_most_one_in_twenty_others_is_a_false_alarm(others: int, allowed: int) -> None:
    losses = np.arange(1.0, others + 1)
    members = losses - 0.5  # the one at 0.5 is below all others, the next above one of them, …
    assert count_recognised(members, losses) == allowed + 1


@pytest.mark.parametrize("seed", range(12))
def test_auc_and_recognised_people_are_scikit_learns(seed: int) -> None:
    training, test = drawn(seed)
    attack = attack_membership(training, test)
    assert attack is not None
    members, others = mean_losses(training), mean_losses(test)
    truth, scores = np.r_[np.ones(len(members)), np.zeros(len(others))], -np.r_[members, others]
    assert attack.auc == pytest.approx(roc_auc_score(truth, scores))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert attack.recognised == round(true[false <= 0.05].max() * len(members))


def test_the_interval_is_that_of_any_auc_with_a_row_per_person() -> None:
    training, test = drawn(5)
    attack = attack_membership(training, test)
    assert attack is not None
    losses = np.r_[mean_losses(training), mean_losses(test)]
    labels = np.r_[np.ones(attack.members, int), np.zeros(len(losses) - attack.members, int)]
    names = tuple(f"p{row:03d}" for row in range(len(losses)))
    rows = Predictions(names, ("",) * len(names), labels, np.exp(-losses))
    metrics = membership_metrics({"A": (attack, len(losses) - attack.members)})
    assert metrics is not None
    expected = auc_estimate(rows, "score", np.random.default_rng(0))
    found = metrics.sites["A"].auc
    assert found.limits == pytest.approx(expected.limits)
    assert (found.method, found.mark) == (expected.method, expected.mark)


@pytest.mark.parametrize(("min_people", "leaves"), [(1, True), (3, True), (4, False)])
def test_a_number_about_few_people_is_held_back(min_people: int, leaves: bool) -> None:
    others = of_true_class(*[0.5] * 10)
    for training in (of_true_class(*[0.9] * 3, *[0.1] * 7), of_true_class(*[0.9] * 7, *[0.1] * 3)):
        attack = attack_membership(training, others, min_people)
        assert attack is not None
        assert (attack.recognised is not None) == leaves
    for everybody in (of_true_class(*[0.9] * 10), of_true_class(*[0.1] * 10)):
        attack = attack_membership(everybody, others, 10)
        assert attack is not None
        assert attack.recognised in (0, 10)  # about ten people, or about nobody


def test_there_is_no_attack_without_training_or_test_people() -> None:
    assert attack_membership(NOBODY, of_true_class(0.5)) is None
    assert attack_membership(of_true_class(0.5), NOBODY) is None
    assert membership_metrics({}) is None


def test_sites_are_combined_by_their_mean_and_their_sums() -> None:
    one = attack_membership(of_true_class(*[0.9] * 30), of_true_class(*[0.5] * 19))
    other = attack_membership(of_true_class(*[0.5] * 50), of_true_class(*[0.5] * 40))
    assert one is not None
    assert other is not None
    metrics = membership_metrics({"A": (one, 19), "B": (other, 40)})
    assert metrics is not None
    assert metrics.mean_auc.value == pytest.approx(0.75)
    assert (metrics.recognised.people, metrics.recognised.members) == (30, 80)
    assert metrics.recognised.by_chance == pytest.approx(30 / 20 + 50 * 3 / 41)
    assert metrics.recognised.rate.value == pytest.approx(30 / 80)
    held_back = membership_metrics({"A": (replace(one, recognised=None), 19), "B": (other, 40)})
    assert held_back is not None
    assert held_back.recognised.people is None
    assert held_back.recognised.rate.undefined == "held back, as it is about too few people"
    assert held_back.sites["B"].recognised.people == 0


def test_a_model_without_a_memory_gives_away_what_chance_does() -> None:
    """The mean over 4,000 draws of equal losses, at a small site, where chance is above 5%."""
    rng = np.random.default_rng(1)
    found = np.mean([count_recognised(rng.random(30), rng.random(25)) for _ in range(4000)])
    attack = MembershipAttack(30, 0.5, 1.0, 0)
    metrics = membership_metrics({"A": (attack, 25)})
    assert metrics is not None
    assert metrics.recognised.by_chance == pytest.approx(30 * 2 / 26)
    assert found == pytest.approx(metrics.recognised.by_chance, rel=0.05)


def test_no_honest_attack_is_refused() -> None:
    for seed in range(300):
        training, test = drawn(seed)
        attack = attack_membership(training, test, min_people=1 + seed % 4)
        assert attack is not None
        require_possible_attack(attack, len(set(test.participants)))


HONEST = MembershipAttack(members=40, auc=0.75, auc_variance_ratio=1.0, recognised=10)
"""Of 40 members against 30 others."""


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (lambda attack: replace(attack, members=0), "on 0 training and 30 test people"),
        (lambda attack: replace(attack, auc=1.5), r"an AUC of 1\.5"),
        (lambda attack: replace(attack, auc=-0.1), r"an AUC of -0\.1"),
        (lambda attack: replace(attack, auc=float("nan")), "an AUC of nan"),
        (lambda attack: replace(attack, auc=0.7501), "no 40 × 30 pairs have"),
        (lambda attack: replace(attack, auc_variance_ratio=0.0), "a ratio of variances of 0"),
        (lambda attack: replace(attack, auc_variance_ratio=1e9), r"a ratio of variances of 1e\+09"),
        (lambda attack: replace(attack, auc_variance_ratio=float("nan")), "a ratio of variances of nan"),
        (lambda attack: replace(attack, recognised=41), "recognises 41 of 40 people"),
        (lambda attack: replace(attack, recognised=-1), "recognises -1 of 40 people"),
        (lambda attack: replace(attack, recognised=40), "40 recognised of 40 people allow 0.967 to 1"),
        (lambda attack: replace(attack, auc=0.98), "10 recognised of 40 people allow 0.242 to 0.975"),
    ],
)
def test_a_forged_attack_is_refused(forge: Callable[[MembershipAttack], MembershipAttack], why: str) -> None:
    require_possible_attack(HONEST, 30)
    with pytest.raises(ValueError, match=why):
        require_possible_attack(forge(HONEST), 30)


def test_an_attack_on_no_test_people_is_refused() -> None:
    with pytest.raises(ValueError, match="on 40 training and 0 test people"):
        require_possible_attack(HONEST, 0)
