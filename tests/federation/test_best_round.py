import math
from dataclasses import replace

import pytest

from fedtune3d.evaluation.auc_interval import newcombe_variance
from fedtune3d.federation.best_round import is_best, mean_auc_error
from fedtune3d.federation.ledger import Validation
from fedtune3d.training.scores import Scores
from fedtune3d.training.settings import BestRound


def chosen(aucs: list[float | None], choice: BestRound, error: float | None = 0.05, loss: float | None = 0.5) -> int:
    """The round that is evaluated in the end."""
    validations = [Validation(round_ + 1, auc, loss, error) for round_, auc in enumerate(aucs)]
    best = 0
    for number, validation in enumerate(validations):
        if is_best(validation, validations[:number], choice):
            best = number + 1
    return best


LUCKY = [0.6, 1.0, 0.7, 0.72, 0.74, 0.75, 0.76, 0.78]
"""One lucky round among rising ones."""
COLLAPSE = [0.6, 0.8, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5]


def test_a_lucky_round_does_not_win() -> None:
    assert chosen(LUCKY, "highest_auc") == 2
    assert chosen(LUCKY, "latest_within_error") == 8
    assert chosen(LUCKY, "last") == 8


def test_a_collapse_is_left_out() -> None:
    """Means of five: 0.82 at round 5, then 0.80: the mean alone would let the collapse at round 6 pass."""
    assert chosen(COLLAPSE, "latest_within_error") == 5
    assert chosen([*COLLAPSE[:5], 0.85], "latest_within_error") == 6
    assert chosen(COLLAPSE, "last") == 10


def test_ties_go_to_the_earlier_round_only_by_the_highest_auc() -> None:
    assert chosen([0.7, 0.7], "highest_auc") == 1
    assert chosen([0.7, 0.7], "latest_within_error") == 2


@pytest.mark.parametrize("choice", ["highest_auc", "latest_within_error"])
def test_without_an_auc_the_lowest_loss_decides(choice: BestRound) -> None:
    validations = [Validation(round_, None, loss) for round_, loss in ((1, 0.6), (2, 0.4), (3, 0.5))]
    kept = [part.state_round for number, part in enumerate(validations) if is_best(part, validations[:number], choice)]
    assert kept == [1, 2]


def test_a_round_without_an_auc_is_no_better_than_one_with() -> None:
    first = Validation(1, 0.6, 0.5, 0.1)
    second = replace(first, state_round=2, mean_auc=None, auc_error=None, pooled_loss=0.1)
    assert not is_best(second, [first], "latest_within_error")


def test_error_of_the_mean_by_hand() -> None:
    scores = [Scores(auc, None, 0.5, scans, None) for auc, scans in ((0.75, 8), (0.9, 20), (None, 3))]
    small, large = (0.75 * 16 + 0.5) / 17, (0.9 * 100 + 0.5) / 101
    expected = math.sqrt(newcombe_variance(small, 4, 4) + newcombe_variance(large, 10, 10)) / 2
    assert mean_auc_error(scores) == pytest.approx(expected)
    assert mean_auc_error(scores[2:]) is None
