import pytest

from fedtune3d.aggregation.site_scores import SCORE_KINDS, SiteScore


def test_kinds():
    assert [SiteScore(0.5, kind, 1).by_loss for kind in SCORE_KINDS] == [False, False, True]


@pytest.mark.parametrize("value", [float("nan"), 1.5, -0.1, "high", True])
def test_a_value_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match="score: expected a number from 0 to 1, got"):
        SiteScore(value, "auc", 4)


def test_an_unknown_kind_and_a_score_of_no_scans_are_refused():
    with pytest.raises(ValueError, match="expected one of auc, balanced_accuracy, loss, got 'f1'"):
        SiteScore(0.5, "f1", 4)
    with pytest.raises(ValueError, match="expected at least 1 validation scan, got 0"):
        SiteScore(0.5, "auc", 0)
