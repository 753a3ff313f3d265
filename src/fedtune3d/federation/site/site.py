"""A site, which answers tasks independently of how they reach it."""

import copy
from dataclasses import replace
from typing import Self

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.gpu import gpu_errors_in_one_line
from fedtune3d.federation.messages import LOCAL, Answer, Task, without
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.site.memory import SiteMemory
from fedtune3d.federation.tasks.registry import task_kind
from fedtune3d.federation.tasks.train import Train


class Site(SiteData):
    """A hospital: passes each task to the handler of its kind, with the memory of the task's namespace."""

    @gpu_errors_in_one_line()
    def answer(self, task: Task) -> Answer:
        """Carry out the task and return the answer.

        Raises:
            InputError: If the site's input is invalid, or the task's kind or namespace is unknown.
        """
        kind = task_kind(task.kind)
        if isinstance(task.instruction, Train):
            self._require_as_agreed(task.instruction, task.namespace)
        if not task.namespace:
            return kind.handler(self, task)
        known = (LOCAL, *(without(site.name) for site in self.experiment.sites if site.name != self.name))
        if task.namespace not in known:
            raise InputError(
                f"{self.name}: expected a task in the namespace {', '.join(known)}, got {task.namespace!r}"
            )
        return kind.handler(self._in_namespace(task.namespace), replace(task, namespace=""))

    def _require_as_agreed(self, instruction: Train, namespace: str) -> None:
        """Raise `Refusal` if an update would be seen where the experiment hides it, or trained without its noise."""
        if self.experiment.privacy.epsilon is not None and namespace:
            raise Refusal("privacy.epsilon: updates leave in the federation's rounds only")
        if not self.experiment.privacy.secure_aggregation:
            if instruction.attempt is not None:
                raise Refusal("the experiment has no privacy.secure_aggregation, but the task asks for it")
        elif instruction.attempt is None or namespace:
            raise Refusal("privacy.secure_aggregation: updates leave under masks, in the federation's rounds only")
        elif instruction.rule != (rule := self.experiment.rule().name):
            raise Refusal(f"the experiment's rule is {rule}, but the task is of rule {instruction.rule}")

    def _in_namespace(self, namespace: str) -> Self:
        """Return a copy of the site with a separate memory, to train a baseline alongside the federation."""
        site = copy.copy(self)
        site.memory = SiteMemory(self.files.memory(namespace))
        return site
