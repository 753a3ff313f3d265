"""All sites in this process, one after the other: for a laptop, and for baselines."""

import time
from collections.abc import Iterator, Mapping

from fedtune3d.federation.messages import Answer, Answering, Fault, Task
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.training.faults import SiteFault


class InProcess:
    """Reaches sites by calling them, in the order of their names.

    A `SiteFault`, and within the rounds a `Refusal`, is the site's fault in this task, and the others continue.
    Everything else is raised at once: all sites are this process's own, so an error is one of the code, of the user or
    of this machine, whose full disk must not pass for an absent site.
    """

    def __init__(self, sites: Mapping[str, Answering]) -> None:
        self._sites = dict(sorted(sites.items()))

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        return tuple(self._sites)

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Yield one answer or fault per site, in the order of names."""
        for name, task in sorted(tasks.items()):
            began = time.monotonic()
            try:
                answer = self._sites[name].answer(task)
            except Refusal as refusal:
                if task.round == 0:
                    raise
                yield Fault(name, str(refusal))
            except SiteFault as fault:
                yield Fault(name, str(fault))
            else:
                seconds = time.monotonic() - began
                if task.deadline_seconds is not None and seconds > task.deadline_seconds:
                    yield Fault(
                        name, f"answered after {seconds:.1f} s, over the deadline of {task.deadline_seconds:g} s"
                    )
                else:
                    yield answer
