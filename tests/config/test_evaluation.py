"""The section `evaluation`, in the way from the file to the table."""

import pytest
from pydantic import ValidationError

from fedtune3d.config.evaluation import EvaluationSection


def test_the_interval_is_the_score_interval_by_default() -> None:
    assert EvaluationSection().auc_interval == "score"
    assert EvaluationSection.model_validate({"auc_interval": "bootstrap"}).auc_interval == "bootstrap"


def test_recalibration_is_platt_scaling_or_none() -> None:
    assert EvaluationSection().recalibration == "none"
    with pytest.raises(ValidationError, match="'none' or 'platt'"):
        EvaluationSection.model_validate({"recalibration": "isotonic"})


def test_another_interval_is_refused() -> None:
    with pytest.raises(ValidationError, match="'score' or 'bootstrap'"):
        EvaluationSection.model_validate({"auc_interval": "wald"})


def test_prevalences_are_shares_that_differ() -> None:
    assert EvaluationSection().prevalences == (0.05, 0.2, 0.5)
    assert EvaluationSection.model_validate({"prevalences": []}).prevalences == ()
    for wrong in ([0], [1], [1.5], [True], [0.1] * 11):
        with pytest.raises(ValidationError):
            EvaluationSection.model_validate({"prevalences": wrong})
    with pytest.raises(ValidationError, match="prevalences must differ"):
        EvaluationSection.model_validate({"prevalences": [0.1, 0.1]})


def test_keys_that_came_later_are_part_of_the_identity_only_where_they_say_something() -> None:
    assert EvaluationSection().public() == {"auc_interval": "score"}
    changed = EvaluationSection.model_validate({"prevalences": [0.1], "recalibration": "platt"})
    assert changed.public() == {"auc_interval": "score", "recalibration": "platt", "prevalences": [0.1]}
