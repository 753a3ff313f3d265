"""AUCs of several classes against scikit-learn, against two classes, and against variances pair by pair."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedtune3d.evaluation.auc_estimate import auc_estimate
from fedtune3d.evaluation.multiclass.class_auc import hand_till, macro_auc, one_vs_rest
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions

Draw = Callable[..., ClassPredictions]


@pytest.mark.parametrize("levels", [None, 1])
@pytest.mark.parametrize("scans_each", [1, 3])
@pytest.mark.parametrize("people", [(14, 11, 12), (30, 4, 9), (6, 7, 5, 8)])
def test_values_are_those_of_scikit_learn(
    draw_classes: Draw, people: tuple[int, ...], scans_each: int, levels: int | None
) -> None:
    drawn = draw_classes(sum(people), people, scans_each, levels=levels)
    for measured, scheme in ((macro_auc(drawn), "ovr"), (hand_till(drawn), "ovo")):
        expected = roc_auc_score(drawn.truth, drawn.probabilities, multi_class=scheme, average="macro")
        assert measured.estimate.value == pytest.approx(expected, abs=1e-9)
        assert measured.estimate.low < expected < measured.estimate.high
    each = roc_auc_score(drawn.truth, drawn.probabilities, multi_class="ovr", average=None)
    assert [one_vs_rest(drawn, of).value for of in range(len(people))] == pytest.approx(each.tolist(), abs=1e-9)


@pytest.mark.parametrize("scans_each", [1, 3])
def test_with_two_classes_all_are_the_binary_auc(draw_classes: Draw, scans_each: int) -> None:
    drawn = draw_classes(5, (12, 15), scans_each)
    binary = auc_estimate(drawn.one_vs_rest(1), "score", np.random.default_rng(0))
    for estimate in (
        one_vs_rest(drawn, 1),
        one_vs_rest(drawn, 0),
        macro_auc(drawn).estimate,
        hand_till(drawn).estimate,
    ):
        assert estimate.limits == pytest.approx(binary.limits, abs=1e-9)


def right(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (own[:, None] > other) + 0.5 * (own[:, None] == other)


@pytest.mark.parametrize("scans_each", [1, 3])
def test_correlations_are_those_of_each_persons_parts(draw_classes: Draw, scans_each: int) -> None:
    """Pair by pair and person by person: the part of a person in an AUC is the sum of their scans' deviations."""
    drawn = draw_classes(8, (9, 7, 8), scans_each)
    people = sorted(set(drawn.participants))
    parts = []
    for of in range(3):
        own = np.flatnonzero(drawn.truth == of)
        rest = np.flatnonzero(drawn.truth != of)
        pairs = right(drawn.probabilities[own, of], drawn.probabilities[rest, of])
        scans = {**dict(zip(own, pairs.mean(axis=1), strict=True)), **dict(zip(rest, pairs.mean(axis=0), strict=True))}
        part = []
        for person in people:
            rows = [row for row, name in enumerate(drawn.participants) if name == person]
            total = 0.0
            for group in (own, rest):
                clusters = len({drawn.participants[row] for row in group})
                inside = [row for row in rows if row in set(group.tolist())]
                share = sum(scans[row] - pairs.mean() for row in inside) / len(group)
                total += np.sqrt(clusters / (clusters - 1)) * share
            part.append(total)
        parts.append(part)
    variance = macro_auc(drawn).variance
    covariance = np.array(parts) @ np.array(parts).T
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(variance.correlations, covariance / np.outer(scale, scale), atol=1e-9)


def test_hand_till_of_perfect_and_of_useless_probabilities() -> None:
    names = tuple("abcdef")
    truth = np.repeat([0, 1, 2], 2)
    perfect = ClassPredictions(names, ("",) * 6, truth, np.eye(3)[truth])
    assert (hand_till(perfect).estimate.value, macro_auc(perfect).estimate.value) == (1, 1)
    assert hand_till(perfect).estimate.low < 1 == hand_till(perfect).estimate.high
    assert set(np.ravel(hand_till(perfect).variance.correlations)) == {1.0}
    useless = ClassPredictions(names, ("",) * 6, truth, np.full((6, 3), 1 / 3))
    assert (hand_till(useless).estimate.value, macro_auc(useless).estimate.value) == (0.5, 0.5)


def test_hand_till_by_hand() -> None:
    """A(0, 1): both scans of class 0 exceed class 1's in p₀, 1; in p₁ class 1's is over one of two, ½; so ¾."""
    probabilities = np.array([[0.6, 0.1, 0.3], [0.5, 0.4, 0.1], [0.4, 0.3, 0.3], [0.2, 0.2, 0.6]])
    drawn = ClassPredictions(tuple("abcd"), ("",) * 4, np.array([0, 0, 1, 2]), probabilities)
    pairs = {(0, 1): 0.75, (0, 2): 1.0, (1, 2): 1.0}
    assert hand_till(drawn).estimate.value == pytest.approx(sum(pairs.values()) / 3)
    assert list(pairs) == list(combinations(range(3), 2))


def test_a_class_without_scans(draw_classes: Draw, no_classes: Draw) -> None:
    drawn = draw_classes(1, (8, 0, 9))
    assert macro_auc(drawn).estimate.undefined == "1 of 3 classes without test scans"
    assert hand_till(drawn).variance is None
    assert one_vs_rest(drawn, 1).undefined == "1 of 3 classes without test scans"
    assert one_vs_rest(drawn, 0).value is not None
    assert macro_auc(no_classes()).estimate.undefined == "no test scans, or too few for the policy"


def test_few_people(draw_classes: Draw) -> None:
    assert macro_auc(draw_classes(1, (9, 20, 20))).estimate.mark == "few"
    assert macro_auc(draw_classes(1, (10, 20, 20))).estimate.mark is None
    lone = macro_auc(draw_classes(1, (1, 6, 6)))
    assert lone.estimate.low < lone.estimate.value < lone.estimate.high
    assert lone.variance.correlations[0] == (1.0, 1.0, 1.0)  # nothing is known of how it varies
