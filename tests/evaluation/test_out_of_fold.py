"""What predictions out of fold serve: calibration over repeats, and errors of the first repeat."""

import numpy as np
import pytest

from fedtune3d.evaluation.cross_validated import FoldNumber
from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.out_of_fold import _over_repeats, residuals_out_of_fold
from fedtune3d.evaluation.regression.checked_summary import CheckedNumberSummary
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.summary import summarise_numbers

LIMITS = (0.0, 120.0)


def summary_of(site: str, truth: list[float], error: float) -> CheckedNumberSummary:
    names = tuple(f"{site}{number}" for number in range(len(truth)))
    test = NumberPredictions(names, ("",) * len(truth), np.array(truth), np.array(truth) + error)
    nobody = NumberPredictions((), (), np.empty(0), np.empty(0))
    return CheckedNumberSummary.of(site, summarise_numbers(nobody, test, LIMITS, False), LIMITS)


def test_errors_are_those_of_the_first_repeat_in_which_everybody_is_once() -> None:
    folds = {
        FoldNumber(1, 1): {"A": summary_of("A", [5.0, 15.0], 1.0), "B": summary_of("B", [15.0], 2.0)},
        FoldNumber(1, 2): {"A": summary_of("A", [16.0], -3.0)},
        FoldNumber(2, 1): {"A": summary_of("A", [5.0, 15.0], 9.0)},
    }
    found = residuals_out_of_fold(folds, ["A", "B"])
    assert [(part.index, part.people, part.error) for part in found["A"]] == [(0, 1, 1.0), (1, 2, -2.0)]
    assert [(part.index, part.people, part.error) for part in found["Pooled"]] == [(0, 1, 1.0), (1, 3, 0.0)]


def test_an_estimate_over_repeats_is_undefined_if_one_is() -> None:
    first, second = defined(1.0, (0.5, 1.5), "drawn", few=False), defined(2.0, (1.0, 3.0), "drawn", few=True)
    both = _over_repeats([first, second])
    assert both.limits == pytest.approx((1.5, 0.75, 2.25))
    assert both.mark == "few"
    assert _over_repeats([first, undefined("one class only")]).undefined == "one class only"
