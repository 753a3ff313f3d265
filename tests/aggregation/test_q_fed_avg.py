import pytest

from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.q_fed_avg import QFedAvg


def _updates(make_update):
    return [
        make_update("A", {"w": [1.0]}, received_training_loss=1.0),
        make_update("B", {"w": [3.0]}, received_training_loss=2.0),
    ]


def test_one_round_by_hand(state_of, make_update):
    result = QFedAvg(q=1, rate=0.5).aggregate(state_of({"w": [0.0]}), _updates(make_update), Memory())
    # L = 2: Σ F L Δ = 1·2·1 + 2·2·3 = 14; Σ h = (1·4·1 + 2·1) + (1·4·9 + 2·2) = 46
    assert result.state["w"].item() == pytest.approx(14 / 46)
    assert result.weights == {"A": pytest.approx(1 / 3), "B": pytest.approx(2 / 3)}
    assert result.round_signals["step"] == pytest.approx(2 * 3 / 46)
    assert result.signals["B"] == {"received_training_loss": 2.0, "squared_change": pytest.approx(9.0)}


def test_q_of_zero_is_simple_avg(state_of, make_update):
    result = QFedAvg(q=0).aggregate(state_of({"w": [0.0]}), _updates(make_update), Memory())
    assert result.state["w"].item() == pytest.approx(2.0)


@pytest.mark.parametrize("loss", [None, float("nan"), -1.0])
def test_a_site_without_a_loss_is_refused_by_name(state_of, make_update, loss):
    assert QFedAvg().site_step(Memory(), "A").scores_training
    update = make_update("A", {"w": [1.0]}, received_training_loss=loss)
    with pytest.raises(ValueError, match="site A: expected received_training_loss, finite and at least 0"):
        QFedAvg().aggregate(state_of({"w": [0.0]}), [update], Memory())
