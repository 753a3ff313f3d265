"""Predictions with known properties."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from fedtune3d.evaluation.predictions import Predictions

# DeLong, DeLong and Clarke-Pearson (1988): albumin, total protein, K-G score, and whether surgery helped, of the 43
# patients with all three, as printed with Example "Comparing Receiver Operating Characteristic Curves" of SAS/STAT's
# LOGISTIC procedure.
_OVARIAN = np.fromstring(
    """3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
    3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
    4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
    4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
    2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1""",
    sep=" ",
).reshape(-1, 4)


def ovarian(test: str) -> Predictions:
    """The scores of one test as probabilities in the same order."""
    scores = {"albumin": _OVARIAN[:, 0], "protein": _OVARIAN[:, 1], "K-G": 10 - _OVARIAN[:, 2]}[test]
    return one_scan_each(_OVARIAN[:, 3].astype(int), scores / 10)


def one_scan_each(labels: np.ndarray, probabilities: np.ndarray) -> Predictions:
    names = tuple(f"p{row:03d}" for row in range(len(labels)))
    return Predictions(names, ("",) * len(labels), labels, probabilities)


def clustered(rng: np.random.Generator, people: int, scans_each: int, auc: float, converters: bool) -> Predictions:
    """Scans that share half of their variance within a person; converters change class after the first scan."""
    labels = np.repeat(np.arange(people) % 2, scans_each)
    if converters:
        turned = (np.repeat(np.arange(people), scans_each) % 6 == 0) & (np.tile(np.arange(scans_each), people) > 0)
        labels = np.where(turned, 1, labels)
    shared = np.repeat(rng.normal(0, np.sqrt(0.5), people), scans_each)
    scores = labels * np.sqrt(2) * norm.ppf(auc) + shared + rng.normal(0, np.sqrt(0.5), len(labels))
    names = np.repeat([f"p{person:04d}" for person in range(people)], scans_each)
    sessions = tuple(str(row % scans_each) for row in range(len(labels)))
    return Predictions(tuple(names), sessions, labels, norm.cdf(scores / 2))


@pytest.fixture(name="ovarian")
def _ovarian() -> Callable[[str], Predictions]:
    return ovarian


@pytest.fixture(name="one_scan_each")
def _one_scan_each() -> Callable[..., Predictions]:
    return one_scan_each


@pytest.fixture(name="clustered")
def _clustered() -> Callable[..., Predictions]:
    return clustered
