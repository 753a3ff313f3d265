"""Predicted numbers with known properties."""

from collections.abc import Callable

import numpy as np
import pytest

from fedtune3d.evaluation.regression.number_predictions import NumberPredictions


def draw_numbers(
    seed: int, people: int = 40, scans_each: int = 1, slope: float = 0.7, bias: float = 1.0, noise: float = 5.0
) -> NumberPredictions:
    """Ages around 70 and predictions drawn towards the mean, whose errors share half of their variance in a person."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.normal(70, 8, people), scans_each) + np.tile(np.arange(scans_each), people) * 1.5
    of_person = np.repeat(rng.normal(0, noise * 0.7, people), scans_each)
    predicted = 70 + bias + slope * (truth - 70) + of_person + rng.normal(0, noise * 0.7, len(truth))
    names = np.repeat([f"sub-{person:03d}" for person in range(people)], scans_each)
    sessions = tuple(str(row % scans_each) for row in range(len(truth)))
    return NumberPredictions(tuple(names.tolist()), sessions, truth, predicted)


@pytest.fixture(name="draw_numbers")
def _draw_numbers() -> Callable[..., NumberPredictions]:
    return draw_numbers


@pytest.fixture(name="no_numbers")
def _no_numbers() -> NumberPredictions:
    return NumberPredictions((), (), np.empty(0), np.empty(0))


NORRIS = np.fromstring(
    """0.1 0.2 338.8 337.4 118.1 118.2 888.0 884.6 9.2 10.1 228.1 226.5 668.5 666.3 998.5 996.3 449.1 448.6 778.9 777.0
    559.2 558.2 0.3 0.4 0.1 0.6 778.1 775.5 668.8 666.9 339.3 338.0 448.9 447.5 10.8 11.6 557.7 556.0 228.3 228.1
    998.0 995.8 888.8 887.6 119.6 120.2 0.3 0.3 0.6 0.3 557.6 556.8 339.3 339.1 888.0 887.2 998.5 999.0 778.9 779.0
    10.2 11.1 117.6 118.3 228.9 229.2 668.4 669.1 449.2 448.9 0.2 0.5""",
    sep=" ",
).reshape(-1, 2)


@pytest.fixture
def norris() -> NumberPredictions:
    """The Norris data of NIST's Statistical Reference Datasets: y of an ozone monitor, as true number, and x."""
    names = tuple(f"p{row:02d}" for row in range(36))
    return NumberPredictions(names, ("",) * 36, NORRIS[:, 0], NORRIS[:, 1])
