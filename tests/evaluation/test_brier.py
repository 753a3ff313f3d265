import math

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import brier_score_loss

from fedtune3d.evaluation.brier import brier_score
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.sample import Sample


def sample_of(labels: np.ndarray, probabilities: np.ndarray, each: int = 1) -> Sample:
    names = tuple(f"{row // each:03d}" for row in range(len(labels)))
    sessions = tuple(str(row % each) for row in range(len(labels)))
    return Sample.of_predictions(Predictions(names, sessions, labels, probabilities))


@pytest.mark.parametrize("each", [1, 3])
def test_limits_by_other_code(each: int) -> None:
    """Each limit θ solves (θ − Brier)² = t² θ(1 − θ) r / people."""
    rng = np.random.default_rng(each)
    labels = np.repeat(rng.integers(0, 2, 12), each)
    probabilities = rng.uniform(0.05, 0.95, len(labels))
    got = brier_score(sample_of(labels, probabilities, each))
    errors = (probabilities - labels) ** 2
    value = brier_score_loss(labels, probabilities)
    per_person = (errors - value).reshape(12, each).mean(axis=1)
    middle = (12 * value + 0.25) / 13
    ratio = (11 * (per_person @ per_person / 11) / (middle * (1 - middle)) + 2) / 13
    assert got.value == pytest.approx(value, rel=1e-6)
    for limit in (got.low, got.high):
        spread = student.ppf(0.975, 11) * math.sqrt(limit * (1 - limit) * ratio / 12)
        assert abs(limit - got.value) == pytest.approx(spread, rel=1e-6)


def test_stays_in_range() -> None:
    perfect = brier_score(sample_of(np.array([0, 1, 0, 1]), np.array([0.0, 1.0, 0.0, 1.0])))
    assert perfect.low == pytest.approx(0, abs=1e-6)
    assert 0 < perfect.high < 1
    alone = brier_score(sample_of(np.array([1]), np.array([0.3])))
    assert 0 <= alone.low < 0.49 < alone.high <= 1


def test_holds_the_truth_at_the_size_of_a_demo() -> None:
    rng, distance, held = np.random.default_rng(2), math.sqrt(2) * norm.ppf(0.85), 0
    labels = np.repeat([0, 1], 11)
    for draw in range(301):
        size = 20_000 if draw == 0 else 11
        scores = rng.normal(np.repeat([0, distance], size), 1)
        probabilities = 1 / (1 + np.exp(-distance * (scores - distance / 2)))
        if draw == 0:
            truth = brier_score_loss(np.repeat([0, 1], size), probabilities)
            continue
        found = brier_score(sample_of(labels, probabilities))
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 300 <= 0.99
