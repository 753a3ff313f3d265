"""Warnings next to the main result: numbers all alike, and training that did not help."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from outcome_metrics import number_metrics

from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.metrics import TestMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.result_warnings import result_warnings
from fedtune3d.report.run_contents import FinishedRun, read_finished_run

NAMES = ClassNames("AD", "CN")
AGE = NumberOutcome("age", 40.0, 100.0, "years", "error", "mse")


@pytest.fixture
def run(make_run: Callable[..., Path]) -> FinishedRun:
    return read_finished_run(make_run())


@pytest.mark.parametrize("share", [True, False])
def test_numbers_that_hardly_vary_are_said_to_be_alike(run: FinishedRun, share: bool) -> None:
    """Also if the sites send sums only."""
    found = number_metrics(share=share, slope=0.01, noise=0.1)
    metrics = replace(run.metrics, outcome=AGE, methods={}, number_methods={"federated": found}, best_round=None)
    [text] = result_warnings(metrics, NAMES, [])
    middle, spread, truth = map(float, re.findall(r"\d+\.?\d*", text))
    assert text.startswith("The model predicts nearly the same number for every test scan, 72.")
    assert text.endswith(" years).")
    with_points = number_metrics(slope=0.01, noise=0.1).pooled
    assert with_points is not None
    assert with_points.points is not None
    predicted, numbers = np.array(with_points.points.predicted), np.array(with_points.points.truth)
    assert (middle, truth) == (round(predicted.mean(), 1), pytest.approx(numbers.std(ddof=1), rel=0.05))
    assert spread == pytest.approx(predicted.std(ddof=1), rel=0.05)


def test_numbers_that_vary_are_no_warning(run: FinishedRun) -> None:
    metrics = replace(run.metrics, outcome=AGE, methods={}, number_methods={"federated": number_metrics()})
    assert result_warnings(replace(metrics, best_round=None), NAMES, []) == []


def test_training_that_did_not_raise_the_validation_score_is_said(run: FinishedRun) -> None:
    assert result_warnings(run.metrics, NAMES, run.ledger) == []
    chosen = run.metrics.best_round
    rounds = [line.validation for line in run.ledger]
    before, after = (next(part for part in rounds if part.state_round == number) for number in (0, chosen))
    assert before.mean_auc is not None
    for auc, expected in ((before.mean_auc, 1), (before.mean_auc - 0.1, 1), (before.mean_auc + 0.01, 0)):
        ledger = [
            replace(line, validation=replace(after, mean_auc=auc)) if line.validation == after else line
            for line in run.ledger
        ]
        found = result_warnings(run.metrics, NAMES, ledger)
        assert (
            found
            == [
                f"Training did not improve the validation AUC: {before.mean_auc:.2f} before training, {auc:.2f} after "
                f"round {chosen}, the round that was evaluated."
            ]
            * expected
        )


def test_of_a_number_the_lower_error_is_better(run: FinishedRun) -> None:
    metrics = replace(run.metrics, outcome=AGE, methods={}, number_methods={"federated": number_metrics()})
    rising, falling = (
        [
            replace(line, validation=replace(line.validation, pooled_loss=loss))
            for line, loss in zip(run.ledger, np.linspace(*limits, len(run.ledger)), strict=True)
        ]
        for limits in ((0.1, 0.2), (0.2, 0.1))
    )
    [text] = result_warnings(metrics, NAMES, rising)
    assert text.startswith(
        "Training did not improve the validation root mean squared error (RMSE): 6.00 years before training, "
    )
    assert result_warnings(metrics, NAMES, falling) == []


def test_where_most_sites_have_few_test_people_a_high_auc_is_not_left_alone(run: FinishedRun) -> None:
    few, *others = (test for test in run.metrics.federated.sites.values() if min(test.participants_by_class) < 10)
    assert others
    boston = run.metrics.federated.sites["Boston"]

    def found(**sites: TestMetrics) -> list[str]:
        federated = replace(run.metrics.federated, sites=sites)
        return result_warnings(replace(run.metrics, methods={"federated": federated}), NAMES, run.ledger)

    assert found(A=boston, B=few) == []
    [text] = found(A=few, B=few, C=boston)
    assert text == (
        "Few people: 2 sites have fewer than 10 people in a class in the test set. Judge the AUC by its 95% CI."
    )


def test_a_model_no_better_than_chance_is_said(run: FinishedRun) -> None:
    for low, expected in ((0.49, 1), (0.50, 1), (0.51, 0)):
        mean = replace(run.metrics.federated.mean_auc, low=low)
        methods = run.metrics.methods | {"federated": replace(run.metrics.federated, mean_auc=mean)}
        found = result_warnings(replace(run.metrics, methods=methods), NAMES, run.ledger)
        assert sum("better than chance" in text for text in found) == expected
