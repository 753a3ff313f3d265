"""A rule's site step as a training task carries it: the rule's name, JSON values and state dicts."""

from dataclasses import replace

from fedtune3d.aggregation.registry import step_type_of
from fedtune3d.aggregation.site_step import STATE, PackedStep, SiteStep, pack_step, unpack_step
from fedtune3d.federation.messages import Task
from fedtune3d.federation.tasks.train import Train


def with_step(task: Task, rule_name: str, step: SiteStep) -> Task:
    """A training task that carries the step of a rule."""
    packed = pack_step(step)
    return replace(
        task,
        instruction=Train(rule=rule_name, step=packed.values),
        parts={**task.parts, **packed.parts},
    )


def step_of(task: Task) -> SiteStep:
    """Rebuild the step that a training task carries, by the rules installed here.

    Raises:
        InputError: Where the rule is not installed or its fields differ.
    """
    parts = {part: state for part, state in task.parts.items() if part != STATE}
    instruction = task.expect(Train)
    return unpack_step(step_type_of(instruction.rule), PackedStep(dict(instruction.step), parts))
