from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from fedtune3d.evaluation.delong import (
    DELONG,
    OBUCHOWSKI,
    clustered_variance,
    delong_estimate,
    delong_from_counts,
    structural_components,
)
from fedtune3d.evaluation.predictions import Predictions


def direct_variance(predictions: Predictions) -> float:
    """Obuchowski's estimator pair by pair and person by person, as the paper writes it."""
    scores, labels = predictions.probabilities, predictions.labels
    cases, controls = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    psi = np.array(
        [[1.0 if scores[x] > scores[y] else 0.5 * (scores[x] == scores[y]) for y in controls] for x in cases]
    )
    theta = psi.mean()
    v10, v01 = dict(zip(cases, psi.mean(axis=1), strict=True)), dict(zip(controls, psi.mean(axis=0), strict=True))
    people = sorted(set(predictions.participants))
    rows = {person: [r for r, name in enumerate(predictions.participants) if name == person] for person in people}
    a = {p: sum(v10[r] - theta for r in rows[p] if r in v10) for p in people}
    b = {p: sum(v01[r] - theta for r in rows[p] if r in v01) for p in people}
    i10, i01 = (sum(any(r in part for r in rows[p]) for p in people) for part in (v10, v01))
    m, n, i = len(cases), len(controls), len(people)
    s10 = i10 / ((i10 - 1) * m) * sum(a[p] ** 2 for p in people)
    s01 = i01 / ((i01 - 1) * n) * sum(b[p] ** 2 for p in people)
    s11 = i / (i - 1) * sum(a[p] * b[p] for p in people)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize(
    ("test", "area", "low", "high"),
    [
        ("albumin", 0.7366, 0.5549, 0.9182),
        ("K-G", 0.7258, 0.5243, 0.9273),
        ("protein", 0.6478, 0.4518, 0.8439),
    ],
)
def test_areas_and_intervals_are_those_that_sas_prints(
    test: str, area: float, low: float, high: float, ovarian: Callable
) -> None:
    got = delong_estimate(ovarian(test))
    assert [round(limit, 4) for limit in got.limits] == [area, low, high]
    assert (got.method, got.mark) == (DELONG, None)


def test_components_of_tied_scores_equal_those_counted_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 9, 60) / 9
    auc, components = structural_components(labels, scores)
    right = (scores[labels == 1][:, None] > scores[labels == 0]) + 0.5 * (
        scores[labels == 1][:, None] == scores[labels == 0]
    )
    assert auc == pytest.approx(right.mean())
    np.testing.assert_allclose(components[labels == 1], right.mean(axis=1))
    np.testing.assert_allclose(components[labels == 0], right.mean(axis=0))


@pytest.mark.parametrize("converters", [False, True])
def test_clustered_variance_equals_the_papers_formula_pair_by_pair(converters: bool, clustered: Callable) -> None:
    predictions = clustered(np.random.default_rng(1), 30, 3, 0.75, converters)
    auc, components = structural_components(predictions.labels, predictions.probabilities)
    got = clustered_variance(components - auc, predictions)
    assert got == pytest.approx(direct_variance(predictions), rel=1e-12)
    assert delong_estimate(predictions).method == OBUCHOWSKI


def test_copies_of_scans_add_no_certainty(ovarian: Callable) -> None:
    single = ovarian("albumin")
    names, labels, probabilities = (
        np.tile(part, 3) for part in (single.participants, single.labels, single.probabilities)
    )
    sessions = tuple(str(row // len(single)) for row in range(len(names)))
    got, expected = delong_estimate(Predictions(tuple(names), sessions, labels, probabilities)), delong_estimate(single)
    assert list(got.limits) == pytest.approx(list(expected.limits))


def test_where_there_is_no_variance_it_says_so(one_scan_each: Callable) -> None:
    perfect = one_scan_each(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
    assert delong_estimate(perfect).undefined == "an AUC of 1 has no variance"
    lone = one_scan_each(np.array([0, 0, 1]), np.array([0.1, 0.6, 0.5]))
    assert delong_estimate(lone).undefined == "fewer than two participants in a class"
    assert "one class only" in delong_estimate(one_scan_each(np.array([1, 1]), np.array([0.1, 0.6]))).undefined


@pytest.mark.slow
@pytest.mark.parametrize("converters", [False, True])
def test_clustered_intervals_hold_the_truth(converters: bool, clustered: Callable) -> None:
    rng = np.random.default_rng(5)
    estimates = [delong_estimate(clustered(rng, 120, 3, 0.75, converters)) for _ in range(2_000)]
    held = np.mean([got.low <= 0.75 <= got.high for got in estimates])
    print(f"coverage with 60 people a class of 3 scans each, converters {converters}: {held:.3f}")
    assert 0.93 <= held <= 0.97


def test_counts_give_the_interval_of_the_binned_scans(clustered: Callable) -> None:
    rng = np.random.default_rng(7)
    labels, bins = rng.integers(0, 2, 90), rng.integers(0, 12, 90)
    negatives, positives = (np.bincount(bins[labels == label], minlength=12) for label in (0, 1))
    names = tuple(f"p{row}" for row in range(90))
    exact = delong_estimate(Predictions(names, ("",) * 90, labels, bins / 12))
    got = delong_from_counts(negatives, positives, (int((labels == 0).sum()), int((labels == 1).sum())))
    assert list(got.limits) == pytest.approx(list(exact.limits))


@pytest.mark.ci
@pytest.mark.parametrize("auc", [0.70, 0.85])
def test_intervals_hold_the_truth_with_a_hundred_a_class(auc: float, one_scan_each: Callable) -> None:
    rng, held = np.random.default_rng(9), 0
    labels = np.repeat([0, 1], 100)
    for _ in range(2_000):
        got = delong_estimate(one_scan_each(labels, norm.cdf(rng.normal(labels * np.sqrt(2) * norm.ppf(auc), 1))))
        held += got.low <= auc <= got.high
    assert 0.93 <= held / 2_000 <= 0.97
