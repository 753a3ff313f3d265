import pytest

from fedtune3d.training.settings import TrainingSettings, rate_factor


def test_a_constant_rate_is_full_in_every_round() -> None:
    assert [rate_factor(TrainingSettings(), round_number, 3) for round_number in (1, 2, 3)] == [1, 1, 1]


def test_warm_up_rises_linearly_and_cosine_falls_from_the_full_rate() -> None:
    settings = TrainingSettings(schedule="cosine", warmup_rounds=1)
    factors = [rate_factor(settings, round_number, 5) for round_number in range(1, 6)]
    assert factors == pytest.approx([0.5, 1.0, 0.8535534, 0.5, 0.1464466])


def test_rates_stay_above_zero_when_warm_up_is_longer_than_the_run() -> None:
    settings = TrainingSettings(schedule="cosine", warmup_rounds=9)
    assert [rate_factor(settings, round_number, 2) for round_number in (1, 2)] == pytest.approx([0.1, 0.2])
