from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.regression.checked_summary import CheckedNumberSummary
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.summary import NumberSummary, summarise_numbers

LIMITS = (40.0, 100.0)
Draw = Callable[..., NumberPredictions]


@pytest.fixture
def summary(draw_numbers: Draw) -> NumberSummary:
    test = draw_numbers(2, 20, 2)
    other = NumberPredictions(test.participants, test.sessions, test.truth, test.predicted + np.arange(40) / 5)
    return summarise_numbers(draw_numbers(1), test, LIMITS, share_predictions=True, federated=other)


def test_a_consistent_summary(summary: NumberSummary) -> None:
    assert CheckedNumberSummary.of("A", summary, LIMITS).predictions.people == 20
    assert CheckedNumberSummary.of("A", replace(summary, predictions=None), LIMITS).predictions is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: {"version": 0}, "run the same fedtune3d"),
        (lambda s: {"limits": (0.0, 30.0)}, "from 40 to 100"),
        (lambda s: {"validation": replace(s.validation, people=0)}, "0 people"),
        (lambda s: {"test": replace(s.test, error=replace(s.test.error, people=3))}, "different scans or people"),
        (lambda s: {"residuals": s.residuals[1:]}, "do not add up"),
        (lambda s: {"ratios": replace(s.ratios, slope=0.0)}, "ratios of variances"),
        (lambda s: {"spearman": 1.5}, "rank correlation"),
        (lambda s: {"against_federated": replace(s.against_federated, p_value=0.9)}, "comparison"),
        (lambda s: {"ratios": replace(s.ratios, slope=9.0)}, "the predictions and the ratios"),
        (lambda s: {"ratios": None}, "the predictions and the statistics"),
        (lambda s: {"predictions": replace(s.predictions, truth=s.predictions.predicted)}, "the predictions and"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_sites_name(
    summary: NumberSummary, change: Callable[[NumberSummary], dict], why: str
) -> None:
    with pytest.raises(InputError, match=f"site A.*{why}"):
        CheckedNumberSummary.of("A", replace(summary, **change(summary)), LIMITS)
