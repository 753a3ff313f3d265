from collections.abc import Callable

import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.paired import Comparison, combine_comparisons, paired_delong
from fedtune3d.evaluation.predictions import Predictions


def reordered(predictions: Predictions, order: np.ndarray) -> Predictions:
    return Predictions(
        tuple(predictions.participants[row] for row in order),
        tuple(predictions.sessions[row] for row in order),
        predictions.labels[order],
        predictions.probabilities[order],
    )


@pytest.mark.parametrize(
    ("test", "difference", "error", "chi_squared", "p_value"),
    [("albumin", 0.0108, 0.0953, 0.0127, 0.9102), ("protein", -0.0780, 0.1046, 0.5554, 0.4561)],
)
def test_differences_from_the_kg_score_are_those_that_sas_prints(
    test: str, difference: float, error: float, chi_squared: float, p_value: float, ovarian: Callable
) -> None:
    got = paired_delong(ovarian(test), ovarian("K-G"))
    assert round(got.difference.value, 4) == difference
    assert round(got.standard_error, 4) == error
    assert round((got.difference.value / got.standard_error) ** 2, 4) == chi_squared
    assert round(got.p_value, 4) == p_value
    assert (got.scans, from_json(Comparison, to_json(got))) == (43, got)


def test_order_of_rows_does_not_matter_and_swapping_turns_the_sign(ovarian: Callable) -> None:
    first, second = ovarian("albumin"), ovarian("protein")
    shuffled = reordered(second, np.random.default_rng(0).permutation(len(second)))
    got = paired_delong(first, shuffled)
    assert got == paired_delong(first, second)
    assert paired_delong(second, first).difference.value == pytest.approx(-got.difference.value)


def test_scans_that_differ_are_refused(ovarian: Callable) -> None:
    first = ovarian("albumin")
    with pytest.raises(
        InputError, match="1 are only in the first and 0 only in the second; compare runs with the same seed"
    ):
        paired_delong(first, reordered(first, np.arange(1, 43)))
    flipped = Predictions(first.participants, first.sessions, 1 - first.labels, first.probabilities)
    with pytest.raises(InputError, match="the same labels"):
        paired_delong(first, flipped)
    twice = Predictions(("a", "a"), ("", ""), np.array([0, 1]), np.array([0.2, 0.4]))
    with pytest.raises(InputError, match="are repeated"):
        paired_delong(twice, twice)


def test_models_that_rank_alike_have_no_p_value(ovarian: Callable) -> None:
    first = ovarian("albumin")
    halved = Predictions(first.participants, first.sessions, first.labels, first.probabilities / 2)
    got = paired_delong(first, halved)
    assert (got.first, got.second, got.standard_error, got.p_value) == (
        pytest.approx(0.7366, abs=1e-4),
        got.first,
        0,
        None,
    )
    assert "rank the scans equally" in got.difference.undefined


@pytest.mark.parametrize("scans_each", [1, 3])
def test_two_equal_models_differ_as_often_as_the_level_says(scans_each: int, clustered: Callable) -> None:
    """Of 300 pairs of models with one AUC on the same people, 5 % should have p < 0.05."""
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(300):
        first, second = (clustered(rng, 100, scans_each, 0.75, converters=False) for _ in range(2))
        found += paired_delong(first, second).p_value < 0.05
    assert 0.02 <= found / 300 <= 0.08


def test_sites_are_combined_from_numbers_alone(ovarian: Callable, one_scan_each: Callable) -> None:
    """Mean of the differences; standard error √(Σ se²) / k."""
    comparisons = {
        "A": paired_delong(ovarian("albumin"), ovarian("K-G")),
        "B": paired_delong(ovarian("protein"), ovarian("K-G")),
        "one class": paired_delong(*[one_scan_each(np.array([1, 1]), np.array([0.1, 0.2]))] * 2),
    }
    got = combine_comparisons({site: from_json(Comparison, to_json(part)) for site, part in comparisons.items()})
    parts = [comparisons[site] for site in "AB"]
    assert got.sites == ("A", "B")
    assert got.difference.value == pytest.approx(np.mean([part.difference.value for part in parts]))
    assert got.standard_error == pytest.approx(np.hypot(*(part.standard_error for part in parts)) / 2)
    assert got.scans == 86
    nothing = combine_comparisons({"one class": comparisons["one class"]})
    assert (nothing.p_value, nothing.difference.undefined) == (None, "no site has both AUCs")
