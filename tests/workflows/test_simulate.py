"""The experiment file of a simulation predicts what was simulated."""

from pathlib import Path

import pytest

from fedtune3d import Experiment
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome, Outcome
from fedtune3d.simulation.outcomes import SimulatedOutcome
from fedtune3d.workflows import simulate


@pytest.fixture(autouse=True)
def no_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write everything but the scans, which take seconds each and which the file does not name."""
    monkeypatch.setattr("fedtune3d.simulation.simulate._make_scans", lambda *_: iter(()))
    monkeypatch.setattr(simulate, "_draw_profiles", lambda *_: None)


@pytest.mark.parametrize(
    ("simulated", "predicted"),
    [
        (SimulatedOutcome.CN_AD, ClassOutcome(("negative", "positive"))),
        (SimulatedOutcome.CN_MCI_AD, ClassOutcome(("CN", "MCI", "AD"))),
        (SimulatedOutcome.AGE, NumberOutcome("age", 40, 100, "years", "leave_out")),
    ],
)
def test_the_experiment_file_is_valid_and_predicts_what_was_simulated(
    tmp_path: Path, simulated: SimulatedOutcome, predicted: Outcome
) -> None:
    file = simulate.write_simulation(tmp_path, 2, 80, 1, None, 1, lambda *_: None, outcome=simulated)
    assert Experiment.from_yaml(file).outcome == predicted
    text = file.read_text(encoding="utf-8")
    assert "These sites are simulated" in text
    assert ("positive: [AD]" in text) is (simulated is SimulatedOutcome.CN_AD)
