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
