"""Local training at a site whose received state may be scored by another process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d._utils.state_dicts import State
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Task
from fedtune3d.federation.site.local_trainer import can_be_scored_elsewhere
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.tasks.assign_splits import AssignSplits
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.models.tuning import read_state
from fedtune3d.training.faults import SiteFault
from fedtune3d.training.scores import Scores
from fedtune3d.workflows.sites import make_sites

STEP = {"keep_local": [], "frozen": [], "score_kind": "auc"}


@dataclass
class Nowhere:
    """Nobody else scores; notes what was computed at the site."""

    computed: list[Scores] = field(default_factory=list)

    def obtain(self, compute: Callable[[], Scores]) -> Scores:
        self.computed.append(compute())
        return self.computed[-1]


@dataclass
class Known:
    """Somebody else has scored."""

    scores: Scores

    def obtain(self, compute: Callable[[], Scores]) -> Scores:
        return self.scores


@pytest.fixture(scope="module")
def site(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("run")
    experiment = Experiment.from_yaml(small_experiment.write(folder))
    (site,) = make_sites(experiment, RunFolder(folder), Silent(), key=b"k" * 32, only="A")
    for task in (Task(CountScans()), Task(AssignSplits(groups={}))):
        site.answer(task)
    return site


def initial(site: Site) -> State:
    assembled = site.process_model.assembled
    return {name: torch.zeros_like(tensor) for name, tensor in read_state(assembled.model, assembled.trainable).items()}


def trained(site: Site, state: State, elsewhere: Nowhere | Known | None = None) -> tuple[dict[str, Any], State]:
    site.elsewhere = elsewhere
    try:
        answer = site.answer(Task(Train(rule="fedavg", step=STEP), 1, {"state": state}))
    finally:
        site.elsewhere = None
    payload = answer.expect(TrainAnswer).model_dump(exclude={"seconds", "peak_memory_bytes"})
    return payload, dict(answer.parts["state"])


def same_bits(one: State, other: State) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.ci
def test_the_answer_is_the_same_whoever_scores(site: Site) -> None:
    """Also in the order of its scores, as the manifest has a hash of their text."""
    state, nowhere = initial(site), Nowhere()
    payload, update = trained(site, state)
    scored = site.score(Task(Score(), 1, {"state": state})).expect(ScoreAnswer).received
    assert scored is not None
    for elsewhere in (nowhere, Known(scored)):
        other_payload, other_update = trained(site, state, elsewhere)
        assert str(other_payload) == str(payload)
        assert same_bits(other_update, update)
    assert nowhere.computed == [scored]
    assert not same_bits(state, update)


@pytest.mark.ci
def test_a_state_that_cannot_be_scored_is_the_same_fault_whoever_would_score(site: Site) -> None:
    broken = {name: torch.full_like(tensor, float("nan")) for name, tensor in initial(site).items()}
    with pytest.raises(SiteFault) as expected:
        trained(site, broken)
    with pytest.raises(SiteFault) as raised:
        trained(site, broken, Nowhere())
    assert str(raised.value) == str(expected.value)
    assert "the model's output is NaN" in str(expected.value)


def test_only_plain_training_of_the_federation_can_be_scored_elsewhere() -> None:
    """Under secure aggregation a site checks a task before it computes; a baseline has a memory of its own."""
    plain, attempt = Train(rule="fedavg", step=STEP), Train(rule="fedavg", step=STEP, attempt=1)
    assert can_be_scored_elsewhere(Task(plain, 1))
    assert not can_be_scored_elsewhere(Task(attempt, 1))
    assert not can_be_scored_elsewhere(Task(plain, 1, namespace="local"))
    assert not can_be_scored_elsewhere(Task(Score(), 1))
