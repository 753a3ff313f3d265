"""All sites in this process, one after the other: for a laptop, and for baselines."""

import time
from collections.abc import Iterator, Mapping

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.messages import Answer, Answering, Fault, Task


class InProcess:
    """Reaches sites by calling them, in the order of their names.

    A site's `InputError` in a task outside the rounds is the user's to mend and goes up; whatever else a site raises is
    its fault in this task, and the others go on.
    """

    def __init__(self, sites: Mapping[str, Answering]) -> None:
        self._sites = dict(sorted(sites.items()))

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        return tuple(self._sites)

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Yield one answer or fault a site, in the order of names."""
        for name, task in sorted(tasks.items()):
            began = time.monotonic()
            try:
                answer = self._sites[name].answer(task)
            except InputError as error:
                if task.round == 0:
                    raise
                yield Fault(name, str(error))
            except Exception as error:
                yield Fault(name, f"{type(error).__name__}: {error}")
            else:
                seconds = time.monotonic() - began
                if task.deadline_seconds is not None and seconds > task.deadline_seconds:
                    yield Fault(
                        name, f"answered after {seconds:.1f} s, over the deadline of {task.deadline_seconds:g} s"
                    )
                else:
                    yield answer
