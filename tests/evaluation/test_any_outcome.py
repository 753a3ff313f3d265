"""Summaries of every outcome: of nobody, of another outcome, and combined."""

import numpy as np
import pytest

from fedtune3d.evaluation.any_outcome import combine_outcome, require_outcome, summary_of_nobody, validation_of
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.metrics import MethodMetrics
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.outcome import BINARY, ClassOutcome, NumberOutcome, Outcome
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.summary import summarise_number_validation
from fedtune3d.evaluation.summary import summarise_validation

THREE = ClassOutcome(("CN", "MCI", "AD"))
AGE = NumberOutcome("age", 40, 100, "years", "error")
OUTCOMES: list[Outcome] = [BINARY, THREE, AGE]


KINDS = (MethodMetrics, ClassMetrics, NumberMetrics)


@pytest.mark.parametrize(("outcome", "kind"), list(zip(OUTCOMES, KINDS, strict=True)))
def test_sites_that_hold_everything_back_have_metrics_without_numbers(outcome: Outcome, kind: type) -> None:
    metrics = combine_outcome({site: summary_of_nobody(outcome) for site in "AB"}, seed=0)
    assert isinstance(metrics, kind)
    assert [test.scans for test in metrics.sites.values()] == [0, 0]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_summary_of_another_outcome_is_refused(outcome: Outcome) -> None:
    require_outcome(summary_of_nobody(outcome), outcome)
    others = [ClassOutcome(("CN", "AD", "MCI")), NumberOutcome("age", 40, 90, "years", "error"), *OUTCOMES]
    for other in others:
        if other != outcome:
            with pytest.raises(ValueError, match="a summary of another outcome"):
                require_outcome(summary_of_nobody(other), outcome)


def test_validation_scans_of_sites_are_added() -> None:
    two = summarise_validation(Predictions(("a",), ("",), np.array([1]), np.array([0.5])))
    assert validation_of(BINARY, [two, two]) == ClassCounts.total([two.validation, two.validation])
    assert validation_of(BINARY, []) == ClassCounts({}, {})
    ages = NumberPredictions(("a", "b"), ("", ""), np.array([50.0, 80.0]), np.array([60.0, 70.0]))
    part = summarise_number_validation(ages, (40, 100))
    assert validation_of(AGE, [part, part]) == JointSums.pooled([part.validation, part.validation])
