from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from fedtune3d.evaluation.intervals import wilson
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.confusion_matrix import (
    HELD_BACK,
    ConfusionMatrix,
    accuracy,
    balanced_accuracy,
    matrix_array,
    require_possible_matrix,
    sensitivity,
)

Draw = Callable[..., ClassPredictions]


def from_cells(cells: list[list[int]]) -> ClassPredictions:
    """One person per scan; probabilities that call each scan as the cell says."""
    truth = [of for of, row in enumerate(cells) for count in row for _ in range(count)]
    called = [other for row in cells for other, count in enumerate(row) for _ in range(count)]
    names = tuple(f"p{row:03d}" for row in range(len(truth)))
    return ClassPredictions(names, ("",) * len(names), np.array(truth), np.eye(len(cells))[called])


@pytest.mark.parametrize("scans_each", [1, 3])
def test_values_are_those_of_scikit_learn(draw_classes: Draw, scans_each: int) -> None:
    drawn = draw_classes(2, (20, 13, 17), scans_each)
    matrix = ConfusionMatrix.of(drawn)
    assert matrix.cells == tuple(map(tuple, confusion_matrix(drawn.truth, drawn.predicted).tolist()))
    each = [sensitivity(matrix, of, people) for of, people in enumerate(drawn.participants_by_class)]
    balanced = balanced_accuracy(each, drawn.participants_by_class)
    assert balanced.value == pytest.approx(balanced_accuracy_score(drawn.truth, drawn.predicted), abs=1e-12)
    assert each[1].limits == pytest.approx((each[1].value, *wilson(each[1].value, 13)))
    assert str(matrix.recognised(1)) == f"{matrix.cells[1][1]}/{13 * scans_each}"
    overall = accuracy(matrix, 50, drawn.participants_by_class)
    assert overall.value == pytest.approx(accuracy_score(drawn.truth, drawn.predicted), abs=1e-12)
    # The mean of shares of n people varies as a share of 3² / (1/20 + 1/13 + 1/17) people.
    assert balanced.limits[1:] == pytest.approx(wilson(balanced.value, 9 / (1 / 20 + 1 / 13 + 1 / 17)))


def test_small_cells_are_held_back_with_enough_others_that_no_total_gives_them_away() -> None:
    matrix = ConfusionMatrix.of(from_cells([[20, 3, 7], [9, 30, 0], [2, 4, 50]]), min_people=5)
    assert matrix.cells == (
        (20, None, None),  # 3 is small; 30 − 20 − 7 would give it away, so 7 goes, too
        (9, 30, 0),
        (None, None, 50),  # 2 and 4 together are enough
    )
    assert matrix.totals == (30, 39, 56)
    assert not matrix.whole
    assert matrix.recognised(0).count == 20
    assert sensitivity(matrix, 2, 56).value == 50 / 56


def test_everything_of_a_row_is_held_back_where_the_rest_would_give_it_away() -> None:
    matrix = ConfusionMatrix.of(from_cells([[9, 3, 0], [0, 8, 0], [0, 0, 7]]), min_people=5)
    assert matrix.cells[0] == (None, None, 0)
    assert (sensitivity(matrix, 0, 12).undefined, accuracy(matrix, 27, (12, 8, 7)).undefined) == (HELD_BACK, HELD_BACK)
    each = [sensitivity(matrix, of, 10) for of in range(3)]
    assert balanced_accuracy(each, (12, 8, 7)).undefined == HELD_BACK
    assert np.isnan(matrix_array(matrix)[0]).tolist() == [True, True, False]


@pytest.mark.parametrize("seed", range(30))
def test_no_row_total_gives_away_a_small_cell(draw_classes: Draw, seed: int) -> None:
    drawn = draw_classes(seed, (12, 9, 15), 1 + seed % 2, sharp=1.0)
    exact, shown = ConfusionMatrix.of(drawn), ConfusionMatrix.of(drawn, min_people=5)
    for row, cells in enumerate(shown.cells):
        hidden = [exact.cells[row][other] for other, cell in enumerate(cells) if cell is None]
        assert not hidden or (len(hidden) > 1 and sum(hidden) >= 5)
        assert all(cell in (0, None) or cell >= 5 for cell in cells)


def test_sites_add_up_and_hold_back_together() -> None:
    first = ConfusionMatrix.of(from_cells([[5, 1], [2, 6]]))
    second = ConfusionMatrix.of(from_cells([[3, 0], [1, 1]]))
    assert ConfusionMatrix.pooled([first, second]).cells == ((8, 1), (3, 7))
    assert ConfusionMatrix.pooled([first, second]).totals == (9, 10)
    small = ConfusionMatrix.of(from_cells([[3, 0], [1, 1]]), min_people=2)
    assert ConfusionMatrix.pooled([first, small]).cells == ((8, 1), (None, None))


def test_a_class_without_scans() -> None:
    matrix = ConfusionMatrix.of(from_cells([[3, 1, 0], [0, 0, 0], [0, 1, 4]]))
    each = [sensitivity(matrix, of, people) for of, people in enumerate((4, 0, 5))]
    assert (each[1].undefined, balanced_accuracy(each, (4, 0, 5)).undefined) == ("no test scans of this class",) * 2
    assert np.isnan(matrix_array(matrix)[1]).all()


@pytest.mark.parametrize("cells", [((5, 1), (2, 7)), ((5, -1), (2, 6)), ((5, 1),), ((5, None), (9, None))])
def test_impossible_matrices(cells: tuple[tuple[int | None, ...], ...]) -> None:
    require_possible_matrix(ConfusionMatrix(((5, 1), (2, None)), (6, 8)), (6, 8))
    with pytest.raises(ValueError, match="confusion matrix"):
        require_possible_matrix(ConfusionMatrix(cells, (6, 8)), (6, 8))
