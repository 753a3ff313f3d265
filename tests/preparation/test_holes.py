import numpy as np
import pytest
from scipy import ndimage

from fedtune3d.preparation.holes import fill_holes


@pytest.mark.parametrize("share", [0.0, 0.02, 0.4, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("margin", [0, 1, 5])
def test_the_same_as_scipy(share: float, margin: int) -> None:
    rng = np.random.default_rng(0)
    for shape in [(9, 12, 10), (1, 6, 7), (15, 14)]:
        mask = np.pad(rng.random(shape) < share, margin)
        before = mask.copy()
        np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
        np.testing.assert_array_equal(mask, before)


def test_a_ball_with_a_hole_and_one_with_a_dent() -> None:
    axes = np.indices((20, 20, 20)) - 10
    ball = (axes**2).sum(axis=0) < 64
    hole, dent = ball.copy(), ball.copy()
    hole[9:12, 9:12, 9:12] = False
    dent[9:12, 9:12, 9:] = False
    np.testing.assert_array_equal(fill_holes(hole), ball)
    np.testing.assert_array_equal(fill_holes(dent), dent)
