"""All sites in this process, called one after another: for a laptop, and for baselines."""

import time
from collections.abc import Iterator, Mapping

from fedtune3d.federation.messages import Answer, Answering, Fault, Task
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.training.faults import SiteFault


class InProcess:
    """Reach sites by calling them, in the order of their names.

    A `SiteFault`, and during the rounds a `Refusal`, becomes the site's fault for this task, and the other sites
    continue. Any other exception is raised at once: as all sites run in this process, its cause is the code, the user
    or this machine, and a full disk, for example, must not look like an absent site.
    """

    def __init__(self, sites: Mapping[str, Answering]) -> None:
        self._sites = dict(sorted(sites.items()))

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        return tuple(self._sites)

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Yield one answer or fault per site, in the order of their names."""
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
