from collections.abc import Callable

import numpy as np
import pytest

from fedtune3d.evaluation.grid import BINS, auc_error_bound
from fedtune3d.evaluation.multiclass.class_auc import hand_till, macro_auc, one_vs_rest
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.score_counts import (
    against_rest,
    dense_scores,
    hand_till_from_counts,
    macro_auc_from_counts,
    one_vs_rest_from_counts,
    score_counts,
)

Draw = Callable[..., ClassPredictions]


def test_counts_are_of_every_scan_by_class_and_probability(draw_classes: Draw) -> None:
    drawn = draw_classes(3, (6, 4, 5))
    counts = dense_scores(score_counts(drawn))
    assert counts.shape == (3, 3, BINS)
    assert counts.sum(axis=2).tolist() == [[6, 4, 5]] * 3
    rest, own = against_rest(counts, 1)
    assert (rest.sum(), own.sum()) == (11, 4)


@pytest.mark.parametrize("scans_each", [1, 2])
def test_aucs_from_counts_are_those_of_predictions_up_to_ties_on_the_grid(draw_classes: Draw, scans_each: int) -> None:
    drawn = draw_classes(9, (40, 25, 30), scans_each)
    counts, people = dense_scores(score_counts(drawn)), drawn.participants_by_class
    for of in range(3):
        exact, counted = one_vs_rest(drawn, of), one_vs_rest_from_counts(counts, people, of)
        assert abs(exact.value - counted.value) <= auc_error_bound(*against_rest(counts, of)) + 1e-12
    for exact, counted in (
        (macro_auc(drawn), macro_auc_from_counts(counts, people)),
        (hand_till(drawn), hand_till_from_counts(counts, people)),
    ):
        assert counted.estimate.value == pytest.approx(exact.estimate.value, abs=0.01)
        widths = [mean.estimate.high - mean.estimate.low for mean in (exact, counted)]
        assert widths[0] < widths[1] < 2 * widths[0]  # conservative
        assert "from counts" in counted.estimate.method


def test_with_one_scan_each_the_variance_of_a_class_is_that_of_predictions(draw_classes: Draw) -> None:
    """Probabilities of few values, each in a bin of its own, lose nothing on the grid."""
    drawn = draw_classes(9, (20, 15, 18), levels=2)
    counts = dense_scores(score_counts(drawn))
    for of in range(3):
        exact, counted = one_vs_rest(drawn, of), one_vs_rest_from_counts(counts, drawn.participants_by_class, of)
        if auc_error_bound(*against_rest(counts, of)) == 0:
            assert counted.limits == pytest.approx(exact.limits, abs=1e-9)
        assert counted.value == pytest.approx(exact.value, abs=0.01)


def test_a_class_without_scans(draw_classes: Draw) -> None:
    counts = dense_scores(score_counts(draw_classes(1, (5, 0, 6))))
    assert macro_auc_from_counts(counts, (5, 0, 6)).estimate.undefined == "1 of 3 classes without test scans"
    assert hand_till_from_counts(counts, (5, 0, 6)).variance is None
    assert one_vs_rest_from_counts(counts, (5, 0, 6), 1).undefined is not None


def test_impossible_counts(draw_classes: Draw) -> None:
    counts = score_counts(draw_classes(1, (5, 4, 6)))
    with pytest.raises(ValueError, match="3 probabilities"):
        dense_scores((counts[0], counts[1], counts[2][:2]))
    with pytest.raises(ValueError, match="grid"):
        dense_scores((counts[0], counts[1], (*counts[2][:2], {"7": -1})))
    assert np.array(dense_scores(counts)).dtype == np.int64
