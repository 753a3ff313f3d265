import pytest

from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.trimmed_mean import TrimmedMean


@pytest.mark.parametrize(("trim", "expected", "cut"), [(0.2, 3.0, 1), (0.4, 2.0, 2), (0.1, 21.4, 0)])
def test_cuts_at_both_ends(state_of, make_update, trim, expected, cut):
    values = [100.0, 2.0, 1.0, -2.0, 6.0]
    updates = [make_update(f"site-{index}", {"w": [value]}) for index, value in enumerate(values)]
    result = TrimmedMean(trim).aggregate(state_of({"w": [0.0]}), updates, Memory())
    assert result.state["w"].item() == pytest.approx(expected)
    assert result.round_signals == {"cut": cut}
    assert result.weights is None
