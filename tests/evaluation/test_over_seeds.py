import pytest

from fedtune3d.evaluation.over_seeds import over_seeds


def test_mean_and_spread_by_hand() -> None:
    got = over_seeds({3: 0.7, 1: 0.8, 2: 0.9})
    assert (got.mean, got.sd) == (pytest.approx(0.8), pytest.approx(0.1))
    assert (got.least, got.greatest, got.seeds, got.missing) == (0.7, 0.9, (1, 2, 3), ())


def test_one_seed_has_no_spread_and_a_missing_number_is_named() -> None:
    got = over_seeds({1: 0.8, 2: None})
    assert (got.mean, got.sd, got.seeds, got.missing) == (0.8, None, (1,), (2,))
    assert over_seeds({5: None}).mean is None
