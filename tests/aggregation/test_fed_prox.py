from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.fed_avg import FedAvg
from fedtune3d.aggregation.fed_prox import FedProx, ProximalStep


def test_asks_for_the_proximal_term_and_averages_as_fed_avg(state_of, make_update):
    assert FedProx(mu=0.3).site_step(Memory(), "A") == ProximalStep(mu=0.3)
    updates = [make_update("A", {"w": [1.0]}, examples=1), make_update("B", {"w": [4.0]}, examples=2)]
    state = state_of({"w": [0.0]})
    ours, plain = (rule.aggregate(state, updates, Memory()) for rule in (FedProx(), FedAvg()))
    assert ours.state["w"].tolist() == plain.state["w"].tolist() == [3.0]
