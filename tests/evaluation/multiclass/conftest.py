"""Predictions of three classes with known properties."""

from collections.abc import Callable

import numpy as np
import pytest

from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions


def draw_classes(
    seed: int,
    people: tuple[int, ...] = (14, 11, 12),
    scans_each: int = 1,
    sharp: float = 1.5,
    levels: int | None = None,
) -> ClassPredictions:
    """So many people of each class, whose own class has a logit that is higher by `sharp`; scans share half of it."""
    rng, classes = np.random.default_rng(seed), len(people)
    truth = np.repeat(np.repeat(np.arange(classes), people), scans_each)
    of_person = np.repeat(rng.normal(0, 0.7, (sum(people), classes)), scans_each, axis=0)
    logits = of_person + rng.normal(0, 0.7, (len(truth), classes)) + sharp * np.eye(classes)[truth]
    if levels is not None:
        logits = np.round(logits * levels) / levels
    odds = np.exp(logits)
    names = np.repeat([f"sub-{person:03d}" for person in range(sum(people))], scans_each)
    sessions = tuple(str(row % scans_each) for row in range(len(truth)))
    return ClassPredictions(tuple(names.tolist()), sessions, truth, odds / odds.sum(axis=1, keepdims=True))


def no_classes(classes: int = 3) -> ClassPredictions:
    return ClassPredictions((), (), np.empty(0, np.int64), np.empty((0, classes)))


@pytest.fixture(name="draw_classes")
def _draw_classes() -> Callable[..., ClassPredictions]:
    return draw_classes


@pytest.fixture(name="no_classes")
def _no_classes() -> Callable[..., ClassPredictions]:
    return no_classes
