"""A rule's site step as part of a training task: the rule's name, JSON values and state dicts."""

import hashlib
import json
from dataclasses import replace

from fedtune3d._utils.state_dicts import state_sha256
from fedtune3d.aggregation.registry import step_type_of
from fedtune3d.aggregation.site_step import STATE, PackedStep, SiteStep, pack_step, unpack_step
from fedtune3d.federation.messages import Task
from fedtune3d.federation.serialisation import flat_state
from fedtune3d.federation.tasks.train import Train


def with_step(task: Task, rule_name: str, step: SiteStep, attempt: int | None = None) -> Task:
    """Return `task` as a training task with a rule's site step, of an attempt at a secure sum or of none."""
    packed = pack_step(step)
    return replace(
        task,
        instruction=Train(rule=rule_name, step=packed.values, attempt=attempt),
        parts={**task.parts, **packed.parts},
    )


def tensors_sha256(task: Task) -> str:
    """Return the SHA-256 of all tensors of a task."""
    return state_sha256(flat_state(task.parts))


def training_sha256(task: Task) -> str:
    """Return the SHA-256 of what a training task says to every site in the same words.

    Raises:
        InputError: If the rule is not installed.
    """
    instruction = task.expect(Train)
    own = step_type_of(instruction.rule).per_site
    common = {name: value for name, value in instruction.step.items() if name not in own}
    words = [instruction.rule, common, task.round, instruction.attempt, task.deadline_seconds]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def retry_sha256(task: Task) -> str:
    """Return the SHA-256 of a training task without its tensors, the same in all attempts at a secure sum."""
    instruction = task.expect(Train)
    words = [instruction.rule, instruction.step, task.round, task.memory_version]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def step_of(task: Task) -> SiteStep:
    """Rebuild a training task's site step from the rules installed here.

    Raises:
        InputError: If the rule is not installed or its fields differ.
    """
    parts = {part: state for part, state in task.parts.items() if part != STATE}
    instruction = task.expect(Train)
    return unpack_step(step_type_of(instruction.rule), PackedStep(dict(instruction.step), parts))
