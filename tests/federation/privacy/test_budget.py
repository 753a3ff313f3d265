"""The budget follows from the experiment: what a run needs, and nothing else."""

from typing import Any

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import LOCAL, Task, without
from fedtune3d.federation.privacy.budget import Allowance, budget_of, purpose_of
from fedtune3d.federation.tasks.evaluate import Evaluate
from fedtune3d.federation.tasks.profile_intensities import ProfileIntensities
from fedtune3d.federation.tasks.score import Score
from fedtune3d.federation.tasks.train import Train


def experiment(**changes: Any) -> Experiment:
    values = {
        "name": "x",
        "sites": [{"name": name} for name in "ABC"],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "training": {"rounds": 3},
    }
    return Experiment.model_validate(values | changes)


def test_a_plain_run() -> None:
    assert budget_of(experiment(), "A") == {
        "count_scans": Allowance(1),
        "assign_splits": Allowance(1),
        "describe_people": Allowance(1),
        "fingerprint_scans near": Allowance(1),
        "fingerprint_scans exact": Allowance(1),
        "profile_intensities range": Allowance(1),
        "profile_intensities density": Allowance(1),
        "evaluate federated": Allowance(1),
        "describe_features": Allowance(1),
        "train fedavg": Allowance(6, frozenset({1, 2, 3}), 2),
        "score": Allowance(2, frozenset({4}), 2),
    }


def test_baselines_and_maps_add_what_they_need() -> None:
    plain, more = (
        budget_of(experiment(**changes), "A")
        for changes in ({}, {"baselines": [LOCAL, "leave_one_site_out"], "explain": "gradcam"})
    )
    assert sorted(more.keys() - plain.keys()) == [
        "evaluate leave_one_site_out",
        "evaluate leave_one_site_out without-B (without-B)",
        "evaluate leave_one_site_out without-C (without-C)",
        "evaluate local",
        "map_saliency random",
        "map_saliency trained",
        "score (local)",
        "score (without-B)",
        "score (without-C)",
        "train fedavg (local)",
        "train fedavg (without-B)",
        "train fedavg (without-C)",
    ]
    assert plain.items() <= more.items()


def test_a_site_trains_in_the_rounds_it_is_drawn_for_and_scores_in_the_others() -> None:
    drawn = experiment(participation={"fraction": 0.34, "retries": 0}, training={"rounds": 30})
    budgets = [budget_of(drawn, name) for name in "ABC"]
    training = [budget["train fedavg"].rounds for budget in budgets]
    assert sum(len(rounds) for rounds in training) == 2 * 30  # ⌈0.34 · 3⌉ of the sites in each round
    for budget, rounds in zip(budgets, training, strict=True):
        assert budget["score"].rounds == frozenset(range(1, 32)) - rounds
        assert budget["train fedavg"].times == len(rounds)


def test_purposes() -> None:
    assert purpose_of(Task(Train(rule="fedce", step={}), 1, namespace=LOCAL)) == "train fedce (local)"
    assert purpose_of(Task(Score(), 1)) == "score"
    left_out = Task(Evaluate(method="leave_one_site_out", left_out="B"), namespace=without("B"))
    assert purpose_of(left_out) == "evaluate leave_one_site_out without-B (without-B)"
    assert purpose_of(Task(ProfileIntensities(grid=(0.0, 1.0)))) == "profile_intensities density"
