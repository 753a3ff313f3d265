"""The price that plan names is that of the nearest smaller ε that was measured, for the same head."""

from typing import Any

import pytest

from fedtune3d.config.experiment import Experiment
from fedtune3d.workflows import expected_price as module
from fedtune3d.workflows.expected_price import MEASURED, expected_price

VALUES: dict[str, Any] = {
    "name": "x",
    "sites": [{"name": "A"}],
    "labels": {"positive": ["AD"], "negative": ["CN"]},
    "model": {"encoder": "tiny", "head": "linear"},
    "training": {"class_weighted": False},
}


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEASURED", {"linear": {8.0: 0.01, 3.0: 0.02, 1.0: 0.05}})


def price(epsilon: float, **changes: Any) -> str:
    return expected_price(Experiment.model_validate(VALUES | {"privacy": {"epsilon": epsilon}} | changes))


@pytest.mark.parametrize(
    ("epsilon", "line"),
    [
        (3.0, "lost 0.020 at epsilon 3 ("),
        (5.0, "lost 0.020 at epsilon 3 ("),
        (50.0, "lost 0.010 at epsilon 8 ("),
        (0.5, "lost 0.050 at epsilon 1, and smaller epsilons cost more ("),
    ],
)
def test_the_nearest_smaller_epsilon_is_named(epsilon: float, line: str) -> None:
    assert f"of 100 people in training, head linear {line}" in price(epsilon)


def test_a_smaller_epsilon_was_measured_to_cost_more() -> None:
    for measured in MEASURED.values():
        assert measured[1.0] > measured[3.0] > measured[8.0] > 0


def test_what_was_not_measured_is_not_guessed() -> None:
    for changes in ({"model": {"encoder": "tiny", "head": "conv_s"}}, {"tuning": {"method": "full"}}):
        assert price(3.0, **changes).startswith("Price in AUC: not measured for this head and tuning")
