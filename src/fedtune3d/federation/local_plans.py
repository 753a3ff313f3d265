"""A rule's local plan on its way to a site: JSON values and states, as a task carries them."""

from typing import Any

from pydantic import JsonValue

from fedtune3d.aggregation.contract import STATE, LocalPlan
from fedtune3d.federation.messages import Task
from fedtune3d.federation.tasks.train import Train


def train_with(plan: LocalPlan) -> Train:
    """The instruction that carries the JSON half of a local plan; its tensors travel as parts."""
    values: dict[str, JsonValue] = {
        "proximal_mu": plan.proximal_mu,
        "keep_local": list(plan.keep_local),
        "frozen": list(plan.frozen),
        "scores": list(plan.scores),
        "score_kind": plan.score_kind,
        "remember": list(plan.remember),
        "values": dict(plan.values),
    }
    return Train(plan=values)


def plan_of(task: Task) -> LocalPlan:
    """The local plan that a training task carries."""
    values: dict[str, Any] = dict(task.expect(Train).plan)
    for name in ("keep_local", "frozen", "scores", "remember"):
        values[name] = tuple(values[name])
    return LocalPlan(**values, tensors={part: state for part, state in task.parts.items() if part != STATE})
