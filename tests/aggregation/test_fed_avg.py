from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.fed_avg import FedAvg


def test_examples_count_the_same(state_of, make_update):
    updates = [make_update("A", {"w": [1.0]}, examples=10), make_update("B", {"w": [5.0]}, examples=30)]
    result = FedAvg().aggregate(state_of({"w": [0.0]}), updates, Memory())
    assert result.state["w"].tolist() == [4.0]
    assert result.weights == {"A": 0.25, "B": 0.75}
