import pytest
import torch

from fedtune3d.aggregation.checks import all_finite, find_fault
from fedtune3d.aggregation.site_step import STATE, SiteStep


def test_names_that_stay_may_not_come_back(state_of):
    expected = SiteStep(keep_local=("b",)).expected_parts(state_of({"a": [1.0], "b": [2.0]}))[STATE]
    assert find_fault(expected, state_of({"a": [3.0]})) is None
    assert find_fault(expected, state_of({"a": [3.0], "b": [2.0]})) == "b not expected"


def test_many_missing_names_are_counted(state_of):
    state = state_of({name: [0.0] for name in "abcde"})
    assert find_fault(state, {}) == "a, b, c and 2 more missing"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finite_values_whose_sum_overflows_are_finite(dtype):
    largest = torch.finfo(dtype).max
    assert all_finite(torch.full((3,), largest, dtype=dtype))
    assert all_finite(torch.empty(0, dtype=dtype))
    for bad in ([float("nan")], [float("inf")], [float("-inf"), float("inf")], [float("-inf"), largest, largest]):
        assert not all_finite(torch.tensor([1.0, *bad], dtype=dtype))
