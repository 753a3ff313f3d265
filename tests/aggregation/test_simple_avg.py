from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.simple_avg import SimpleAvg


def test_sites_count_the_same_whatever_their_size(state_of, make_update):
    updates = [make_update("A", {"w": [1.0]}, examples=1), make_update("B", {"w": [4.0]}, examples=99)]
    result = SimpleAvg().aggregate(state_of({"w": [0.0]}), updates, Memory())
    assert result.state["w"].tolist() == [2.5]
    assert result.weights == {"A": 0.5, "B": 0.5}
