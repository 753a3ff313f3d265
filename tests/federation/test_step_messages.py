"""A rule's step reaches the site as it was, through a training task."""

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.federation.messages import Task
from fedtune3d.federation.step_messages import retry_sha256, step_of, with_step
from fedtune3d.federation.tasks.score import Score
from fedtune3d.federation.tasks.train import Train

STATE = {"weight": torch.tensor([1.0, 2.0])}


def test_a_step_with_tensors_arrives_as_it_was() -> None:
    rule = build_rule("scaffold")
    state, memory = rule.start(STATE, RuleContext(sites=("A",), parameters=("weight",), optimizer="sgd"))
    step = rule.site_step(memory, "A")
    task = with_step(Task(Score(), round=3, parts={"state": state}), "scaffold", step)
    assert task.kind == "train"
    assert task.round == 3
    assert task.parts.keys() > {"state"}
    arrived = step_of(task)
    assert type(arrived) is type(step)
    for name, tensors in vars(step).items():
        if isinstance(tensors, dict):
            torch.testing.assert_close(getattr(arrived, name), tensors, rtol=0, atol=0)
        else:
            assert getattr(arrived, name) == tensors


def test_attempts_at_a_secure_sum_are_at_one_task() -> None:
    steps = [{"weight": 0.25}, {"weight": 0.5}]
    first, again, other = (
        retry_sha256(Task(Train(rule="fed_ce", step=step, attempt=attempt), 3, memory_version=2))
        for attempt, step in ((1, steps[0]), (2, steps[0]), (2, steps[1]))
    )
    assert first == again != other


def test_a_rule_that_is_not_installed_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="no_such_rule"):
        step_of(Task(Train(rule="no_such_rule", step={}), parts={"state": STATE}))


def test_a_step_of_another_version_is_refused() -> None:
    with pytest.raises(InputError, match=r"site step: expected .*; install the same version"):
        step_of(Task(Train(rule="fedavg", step={"frozen": []}), parts={"state": STATE}))
