"""Metrics of three classes and of ages at three sites, for the figures and tables of both."""

import numpy as np

from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.combination import combine_classes
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.multiclass.summary import summarise_classes
from fedtune3d.evaluation.regression.combination import combine_numbers
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.summary import summarise_numbers

CLASSES = ("CN", "MCI", "AD")
CLASS_SIZES = {"Amsterdam": (14, 11, 12), "Boston": (22, 18, 25), "Graz": (6, 0, 7)}
"""People of each class in the test split of each site; the last has no MCI."""
NUMBER_SIZES = {"Amsterdam": 24, "Boston": 60, "Graz": 7}


def class_metrics(share: bool = True, min_people: int = 1, shared_model: bool = True) -> ClassMetrics:
    """Three classes in order of severity, at three sites."""
    rng, sent = np.random.default_rng(3), {}
    for site, sizes in CLASS_SIZES.items():
        truth = np.repeat(np.arange(3), sizes)
        severity = truth + rng.normal(0, 0.7, len(truth))
        odds = np.exp(-2 * (severity[:, None] - np.arange(3)) ** 2)
        names = tuple(f"sub-{row:03d}" for row in range(len(truth)))
        drawn = ClassPredictions(names, ("",) * len(truth), truth, odds / odds.sum(axis=1, keepdims=True))
        sent[site] = summarise_classes(drawn, CLASSES, share, min_people)
    return combine_classes(sent, shared_model)


def number_metrics(
    share: bool = True, shared_model: bool = True, slope: float = 0.7, noise: float = 4.0
) -> NumberMetrics:
    """Ages at three sites, whose predictions are drawn towards the mean; with a slope of 0 they are of nobody's age."""
    rng = np.random.default_rng(4)
    sent = {}
    for site, people in NUMBER_SIZES.items():
        validation, test = (_ages(rng, count, slope, noise) for count in (20, people))
        sent[site] = summarise_numbers(validation, test, (40.0, 100.0), share, 1 if share else 5)
    return combine_numbers(sent, shared_model)


def _ages(rng: np.random.Generator, people: int, slope: float, noise: float) -> NumberPredictions:
    truth = rng.normal(70, 9, people)
    predicted = 72 + slope * (truth - 70) + rng.normal(0, noise, people)
    names = tuple(f"sub-{row:03d}" for row in range(people))
    return NumberPredictions(names, ("",) * people, truth, predicted)
