import json
from collections.abc import Callable

import numpy as np
import pytest

from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.summary import (
    NumberSummary,
    NumberValidation,
    SharedNumbers,
    summarise_number_validation,
    summarise_numbers,
)

LIMITS = (40.0, 100.0)
Draw = Callable[..., NumberPredictions]


@pytest.mark.parametrize("share", [True, False])
def test_a_summary_is_json_without_names(draw_numbers: Draw, share: bool) -> None:
    test = draw_numbers(2, 12, 2)
    other = NumberPredictions(test.participants, test.sessions, test.truth, test.predicted + np.arange(24) / 5)
    summary = summarise_numbers(draw_numbers(1), test, LIMITS, share, min_people=5, federated=other)
    text = json.dumps(to_json(summary), allow_nan=False)
    assert "sub-" not in text
    assert from_json(NumberSummary, json.loads(text)) == summary
    assert (summary.predictions is not None) is share
    assert (summary.reference, summary.test.joint.people, summary.validation.scans) == (70.0, 12, 40)
    assert min(part.people for part in summary.residuals) >= (1 if share else 5)


def test_what_leaves_without_predictions_is_sums(draw_numbers: Draw) -> None:
    """Exact are the sums of numbers and of their products; of errors the rest is coarse.

    That whole numbers of few people do not follow is attacked in `federation/privacy/test_sums_of_numbers.py`.
    """
    summary = summarise_numbers(draw_numbers(1), draw_numbers(2, 5), LIMITS, share_predictions=False, min_people=5)
    assert summary.predictions is None
    assert len(summary.residuals) == 1
    joint = {"truth", "predicted", "truth_squared", "product", "predicted_squared"}
    assert joint | {"people", "scans"} == set(vars(summary.test.joint))
    # Σ|e| is coarse, and Σe⁴ stays; ratios of variances have two decimals.
    sums = summary.test
    for part in (sums.error, sums.absolute_error):
        assert part.squared_total == pytest.approx(sums.squared_error.total)
    assert sums.absolute_error.total % 10 == 0
    assert sums.squared_error.squared_total == pytest.approx(sums.squared_error.total**2 / 5)  # no Σe⁴
    assert all(ratio == round(ratio, 2) for ratio in vars(summary.ratios).values())


def test_shared_numbers_keep_people_together_but_not_the_order_of_their_names() -> None:
    test = NumberPredictions(
        ("a", "z", "a"), ("1", "", "2"), np.array([70.0, 60.0, 71.0]), np.array([69.0, 59.0, 61.0])
    )
    shared = SharedNumbers.of(test)
    assert (shared.participants, shared.truth, shared.predicted) == ((0, 1, 1), (60.0, 71.0, 70.0), (59.0, 61.0, 69.0))
    assert shared.predictions().people == 2


def test_validation_alone_and_nobody(draw_numbers: Draw, no_numbers: NumberPredictions) -> None:
    alone = summarise_number_validation(draw_numbers(1), LIMITS)
    assert from_json(NumberValidation, to_json(alone)) == alone
    nobody = summarise_numbers(no_numbers, no_numbers, LIMITS, share_predictions=False)
    assert (nobody.ratios, nobody.spearman, nobody.residuals) == (None, None, ())
    assert from_json(NumberSummary, to_json(nobody)) == nobody
