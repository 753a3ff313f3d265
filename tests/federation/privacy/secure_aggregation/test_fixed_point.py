"""Fixed point is exact to half a unit, and sums wrap around without loss."""

import pytest
import torch

from fedtune3d.federation.privacy.secure_aggregation.fixed_point import UNIT, largest_value, to_values, to_words


def test_values_come_back_to_half_a_unit() -> None:
    values = torch.tensor([0.0, 1.0, -1.0, 0.1, -1e-9, 12345.678, UNIT, -UNIT / 2], dtype=torch.float64)
    assert (to_values(to_words(values, 3)) - values).abs().max() <= UNIT / 2


def test_the_largest_values_of_all_sites_fit_together() -> None:
    values = torch.tensor([largest_value(4) * 0.999999, -largest_value(4) * 0.999999], dtype=torch.float64)
    total = torch.stack([to_words(values, 4)] * 4).sum(dim=0)
    assert torch.allclose(to_values(total), 4 * values, rtol=1e-12)


@pytest.mark.parametrize("value", [largest_value(4), -largest_value(4), float("nan"), float("inf")])
def test_a_value_that_would_not_fit_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"expected finite values below 5\.37e\+08"):
        to_words(torch.tensor([0.0, value], dtype=torch.float64), 4)
