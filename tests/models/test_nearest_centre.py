import math

import pytest
import torch

from fedtune3d.models.nearest_centre import NearestCentre


def constant_scans(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1, 1).expand(-1, 2, 2, 2, 2)


def test_sums_counts_and_scores_by_hand():
    head = NearestCentre(2)
    head.fit(constant_scans(1, 2, 6), [0, 0, 1])
    assert head.sums.tolist() == [[3, 3], [6, 6]]
    assert head.counts.tolist() == [2, 1]
    logits = head(constant_scans(1.5, 6, 3.75))  # centres 1.5 and 6
    scores = (logits[:, 1] - logits[:, 0]).tolist()
    assert scores == pytest.approx([-4.5 * math.sqrt(2), 4.5 * math.sqrt(2), 0])


def test_a_second_fit_replaces_the_first():
    head = NearestCentre(2)
    head.fit(constant_scans(1, 2, 6), [0, 0, 1])
    head.fit(constant_scans(3), [1])
    assert head.sums.tolist() == [[0, 0], [3, 3]]
    assert head.counts.tolist() == [0, 1]


def test_without_a_centre_of_both_classes_there_is_no_score():
    head = NearestCentre(2)
    head.fit(constant_scans(1, 3), [1, 1])
    assert head(constant_scans(5)).tolist() == [[0, 0]]


@pytest.mark.parametrize(("values", "labels"), [((1, 2), [0]), ((), []), ((1, 2), [0, 2])])
def test_labels_that_do_not_fit_are_refused(values, labels):
    with pytest.raises(ValueError, match="expected a label from 0 to 1 for each of"):
        NearestCentre(2).fit(constant_scans(*values), labels)


def test_the_nearest_of_three_centres_has_the_highest_logit():
    head = NearestCentre(2, classes=3)
    head.fit(constant_scans(1, 3, 6, 10), [0, 0, 1, 2])
    assert head.sums.tolist() == [[4, 4], [6, 6], [10, 10]]
    logits = head(constant_scans(2.5, 7, 9))  # centres 2, 6 and 10
    assert logits.argmax(dim=1).tolist() == [0, 1, 2]
    assert logits[0].tolist() == pytest.approx([-0.5 * math.sqrt(2), -3.5 * math.sqrt(2), -7.5 * math.sqrt(2)])
