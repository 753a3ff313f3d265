import pytest
import torch

from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.median import Median


@pytest.mark.parametrize(("values", "expected"), [([9.0, 1.0, 2.0], 2.0), ([1.0, 2.0, 4.0, 1e9], 3.0), ([5.0], 5.0)])
def test_middle(state_of, make_update, values, expected):
    updates = [make_update(f"site-{index}", {"w": [value]}) for index, value in enumerate(values)]
    result = Median().aggregate(state_of({"w": [0.0]}), updates, Memory())
    assert result.state["w"].tolist() == [expected]
    assert result.weights is None


def test_half_precision_keeps_its_middle(make_update):
    values = [60000.0, 60032.0]
    updates = [make_update(f"site-{v}", {"w": torch.tensor([v], dtype=torch.float16)}) for v in values]
    result = Median().aggregate({"w": torch.zeros(1, dtype=torch.float16)}, updates, Memory())
    assert result.state["w"].item() in values
