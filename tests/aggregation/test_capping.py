"""Known answers of cutting weights to a greatest share."""

import math

import pytest

from fedtune3d.aggregation.capping import bound_shares


@pytest.mark.parametrize(
    ("amounts", "limit", "shares", "capped"),
    [
        ({"A": 1, "B": 2, "C": 3}, 0.6, {"A": 1 / 6, "B": 2 / 6, "C": 3 / 6}, ()),
        ({"A": 1, "B": 1, "C": 8}, 0.6, {"A": 0.2, "B": 0.2, "C": 0.6}, ("C",)),
        # A takes the rest and is then above the limit itself
        ({"A": 30, "B": 1, "C": 69}, 0.4, {"A": 0.4, "B": 0.2, "C": 0.4}, ("A", "C")),
        ({"A": 1e-6, "B": 1e-6, "C": 1}, 0.6, {"A": 0.2, "B": 0.2, "C": 0.6}, ("C",)),
    ],
)
def test_what_is_above_the_limit_goes_to_the_others_in_proportion(
    amounts: dict[str, float], limit: float, shares: dict[str, float], capped: tuple[str, ...]
) -> None:
    result, cut = bound_shares(amounts, limit, 0.0)
    total = math.fsum(amounts.values())
    assert math.fsum(result.values()) == pytest.approx(total, rel=1e-12)
    assert {site: amount / total for site, amount in result.items()} == pytest.approx(shares, rel=1e-8)
    assert cut == capped
    assert not cut or max(result.values()) / math.fsum(result.values()) <= limit


@pytest.mark.parametrize("amounts", [{"A": 1, "B": 0, "C": 0}, {"A": 1, "B": 1}])
def test_too_few_sites_with_a_weight_are_left_to_the_sites_to_refuse(amounts: dict[str, float]) -> None:
    assert bound_shares(amounts, 0.4, 0.01) == (amounts, ())


def test_a_weight_next_to_nothing_is_raised_to_a_part_of_the_greatest() -> None:
    result, adjusted = bound_shares({"A": 1.0, "B": 0.98, "C": 1e-6}, 0.6, 0.01)
    assert adjusted == ("C",)
    assert result["C"] / max(result.values()) == pytest.approx(0.01)
    assert result["C"] >= 0.01 * result["A"]
    assert math.fsum(result.values()) == pytest.approx(1.980001)
