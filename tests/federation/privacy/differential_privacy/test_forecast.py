"""What an experiment will cost the people of a site, and how many of its rounds a site affords."""

from typing import Any

import pytest

from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.federation.privacy.differential_privacy.accounting import epsilon_of
from fedtune3d.federation.privacy.differential_privacy.forecast import forecast, guarantee
from fedtune3d.federation.privacy.differential_privacy.spending import SpendingLine
from fedtune3d.federation.privacy.refusal import Refusal

VALUES: dict[str, Any] = {
    "name": "x",
    "sites": [{"name": "A"}, {"name": "B"}],
    "labels": {"positive": ["AD"], "negative": ["CN"]},
    "model": {"encoder": "tiny", "head": "linear"},
    "training": {"rounds": 4, "class_weighted": False},
    "privacy": {"epsilon": 2.0},
}


def test_a_site_without_a_limit_affords_all_rounds() -> None:
    cost = forecast(Experiment.model_validate(VALUES), "A", Policy(), 50)
    assert cost is not None
    assert (cost.people, cost.rounds, cost.affordable, cost.spent, cost.max_epsilon) == (50, 4, 4, 0.0, None)
    assert 1.98 < cost.after <= 2.0
    assert cost.after == epsilon_of({cost.mechanism: 4}, 1e-3)


def test_what_was_spent_before_leaves_fewer_rounds() -> None:
    """Only by the person of whom most was spent."""
    experiment = Experiment.model_validate(VALUES)
    plain = forecast(experiment, "A", Policy(), 50)
    assert plain is not None
    mechanism = plain.mechanism
    earlier = SpendingLine(
        "now", "charged", "earlier", 1, "r", mechanism.noise_multiplier, 1.0, mechanism.steps, ("p2", "p3")
    )
    cost = forecast(experiment, "A", Policy(max_epsilon=2.0), 50, ("p1", "p2"), [earlier, earlier])
    assert cost is not None
    assert (cost.rounds, cost.affordable) == (4, 2)
    assert (cost.spent, cost.after) == (epsilon_of({mechanism: 2}, 1e-3), epsilon_of({mechanism: 4}, 1e-3))
    others = forecast(experiment, "A", Policy(max_epsilon=2.0), 50, ("p1", "p4"), [earlier, earlier])
    assert others is not None
    assert (others.affordable, others.spent) == (4, 0.0)


def test_there_is_none_without_privacy_and_none_at_a_site_too_large_for_delta() -> None:
    assert forecast(Experiment.model_validate(VALUES | {"privacy": {}}), "A", Policy(), 50) is None
    with pytest.raises(Refusal, match=r"privacy.delta is 0.001, but must be below 1 / people in training at site A"):
        forecast(Experiment.model_validate(VALUES), "A", Policy(), 1000)


@pytest.mark.parametrize(
    ("epsilon", "factor"), [(1.0, "2.72"), (3.0, "20.1"), (8.0, "2.98e+03"), (12.0, "more than 10,000")]
)
def test_the_guarantee_in_words(epsilon: float, factor: str) -> None:
    privacy = Experiment.model_validate(VALUES | {"privacy": {"epsilon": epsilon}}).privacy.differential
    assert privacy is not None
    assert f"change by a factor of at most {factor}, but for a chance of 0.001" in guarantee(privacy)
