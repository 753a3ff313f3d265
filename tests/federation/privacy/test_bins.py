"""Coarse counts: no bin is about a few people, and little of the order is lost."""

import numpy as np
import pytest

from fedtune3d.evaluation.auc import area_under_curve, auc_from_counts
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.grid import auc_error_bound
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.federation.privacy.bins import coarse_by_class, coarse_counts


def draw(seed: int, people: int, sessions: int = 1, shift: float = 1.0) -> Predictions:
    """So many people of each class; those in the positive class are higher by `shift` in the logit."""
    rng = np.random.default_rng(seed)
    names = [f"sub-{number:02d}" for number in range(2 * people) for _ in range(sessions)]
    labels = np.repeat(np.arange(2 * people) % 2, sessions)
    logits = rng.normal(0, 1, len(names)) + shift * labels
    return Predictions(tuple(names), ("",) * len(names), labels.astype(np.int8), 1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("people", "sessions"), [(5, 1), (7, 3), (40, 1)])
def test_each_bin_of_a_class_is_about_enough_people(seed: int, people: int, sessions: int) -> None:
    predictions = draw(seed, people, sessions)
    counts = coarse_counts(predictions, 5)
    assert sum(counts.negative.values()) == sum(counts.positive.values()) == people * sessions
    assert min((*counts.negative.values(), *counts.positive.values())) >= 5
    exact = area_under_curve(predictions.labels, predictions.probabilities)
    dense = counts.dense()
    assert abs(auc_from_counts(*dense) - exact) <= auc_error_bound(*dense) + 1e-12


def test_five_people_of_each_class_are_one_bin_each() -> None:
    """At a site of min_per_class people no bin tells where anyone stands."""
    predictions = draw(3, 5)
    counts = coarse_counts(predictions, 5)
    assert (list(counts.negative.values()), list(counts.positive.values())) == ([5], [5])
    assert counts.negative.keys() == counts.positive.keys()


def test_sessions_are_not_people() -> None:
    """Five scans of one person in a corner are joined with those of others."""
    labels = np.array([0] * 10 + [1] * 5, dtype=np.int8)
    names = ["a"] * 5 + list("bcdef") + list("ghijk")
    probabilities = np.array([0.01] * 5 + [0.3] * 5 + [0.9] * 5)
    counts = coarse_counts(Predictions(tuple(names), ("",) * 15, labels, probabilities), 5)
    assert list(counts.negative.values()) == [10]
    assert counts.negative.keys() != counts.positive.keys()


def test_a_minimum_of_one_counts_as_ever_and_too_few_not_at_all() -> None:
    predictions = draw(1, 30, 2)
    assert coarse_counts(predictions, 1) == ClassCounts.of(predictions)
    assert coarse_counts(draw(1, 4), 5) == ClassCounts({}, {})
    assert coarse_counts(draw(1, 0), 5) == ClassCounts({}, {})


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("people", "sessions"), [((5, 7, 5), 1), ((40, 9, 21), 2)])
def test_no_bin_of_three_classes_is_about_a_few_people(seed: int, people: tuple[int, ...], sessions: int) -> None:
    """No run of any class is about one to four people."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.repeat(np.arange(3), people), sessions)
    names = np.repeat([f"sub-{person}" for person in range(sum(people))], sessions)
    counts = coarse_by_class(rng.random(len(labels)), labels, names.tolist(), 3, min_people=5)
    assert [sum(of_class.values()) for of_class in counts] == [count * sessions for count in people]
    assert min(scans for of_class in counts for scans in of_class.values()) >= 5
