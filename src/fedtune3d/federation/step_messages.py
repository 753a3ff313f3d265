"""A rule's site step as part of a training task: the rule's name, JSON values and state dicts."""

from dataclasses import replace

from fedtune3d.aggregation.registry import step_type_of
from fedtune3d.aggregation.site_step import STATE, PackedStep, SiteStep, pack_step, unpack_step
from fedtune3d.federation.messages import Task
from fedtune3d.federation.tasks.train import Train


def with_step(task: Task, rule_name: str, step: SiteStep) -> Task:
    """Return `task` as a training task with a rule's site step."""
    packed = pack_step(step)
    return replace(
        task,
        instruction=Train(rule=rule_name, step=packed.values),
        parts={**task.parts, **packed.parts},
    )


def step_of(task: Task) -> SiteStep:
    """Rebuild a training task's site step from the rules installed here.

    Raises:
        InputError: If the rule is not installed or its fields differ.
    """
    parts = {part: state for part, state in task.parts.items() if part != STATE}
    instruction = task.expect(Train)
    return unpack_step(step_type_of(instruction.rule), PackedStep(dict(instruction.step), parts))
