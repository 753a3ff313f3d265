import numpy as np
import pytest

from fedtune3d.preparation.intensity import normalise_intensity


def tissues(gain: float, grey: float = 0.7) -> np.ndarray:
    """200,000 voxels: fluid at 0.25, grey matter, white matter at 1, each with a spread of 0.05, times a gain."""
    rng = np.random.default_rng(0)
    means = np.repeat([0.25, grey, 1.0], [30_000, 100_000, 70_000])
    return (gain * rng.normal(means, 0.05)).astype(np.float32)


def test_zscore_by_hand() -> None:
    np.testing.assert_allclose(normalise_intensity(np.array([1.0, 2.0, 3.0]), "zscore"), [-(1.5**0.5), 0, 1.5**0.5])


def test_white_stripe_sets_the_white_matter_to_zero() -> None:
    voxels = tissues(300)
    scores = normalise_intensity(voxels, "white_stripe")
    assert np.median(scores[130_000:]) == pytest.approx(0, abs=1.0)
    stripe = np.abs(voxels / 300 - 1) < 0.02  # near the peak
    assert np.abs(scores[stripe]).max() < 3
    # The stripe is 10 % of all voxels: the middle 28.6 % of the white matter, of ±0.366 of its standard deviation, in
    # which a normal distribution has a standard deviation of 0.209 of its own. Grey lies 6 of its own below.
    assert np.median(scores[30_000:130_000]) == pytest.approx(-6 / 0.209, rel=0.1)


def test_a_gain_changes_nothing() -> None:
    for method in ("zscore", "white_stripe", "histogram"):
        first, second = (normalise_intensity(tissues(gain), method, tissues(1.0)) for gain in (0.01, 4000))
        np.testing.assert_allclose(first, second, atol=0.02)


def test_histogram_matching_gives_the_references_histogram() -> None:
    matched = normalise_intensity(tissues(500, grey=0.6), "histogram", tissues(1.0, grey=0.8))
    wanted = normalise_intensity(tissues(1.0, grey=0.8), "zscore")
    for percentile in (1, 10, 50, 90, 99):
        assert np.percentile(matched, percentile) == pytest.approx(np.percentile(wanted, percentile), abs=1e-6)
    assert (np.diff(matched[np.argsort(tissues(500, grey=0.6))]) >= 0).all()  # in the same order


def test_none_leaves_the_voxels_alone() -> None:
    np.testing.assert_array_equal(normalise_intensity(np.array([3.0, 5.0]), "none"), [3, 5])


@pytest.mark.parametrize("method", ["zscore", "white_stripe", "histogram"])
def test_no_spread_is_no_number(method: str) -> None:
    with np.errstate(all="ignore"):
        assert not np.isfinite(normalise_intensity(np.full(100, 7.0), method, tissues(1.0))).any()


def test_minmax_by_hand() -> None:
    np.testing.assert_allclose(normalise_intensity(np.array([50.0, 100.0, 200.0]), "minmax"), [0.25, 0.5, 1.0])
    np.testing.assert_allclose(normalise_intensity(np.array([-100.0, 0.0, 100.0]), "minmax"), [0.0, 0.5, 1.0])
