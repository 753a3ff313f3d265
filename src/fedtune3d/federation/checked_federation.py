"""Sites elsewhere, whose answers are checked before anything is done with them: a bad one is its site's fault alone."""

from collections.abc import Iterator, Mapping

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.foreign_text import one_line
from fedtune3d.evaluation.outcome import BINARY, Outcome
from fedtune3d.federation.answer_checks import SiteDescription, check_answer
from fedtune3d.federation.messages import Answer, Fault, Federation, RefusedAnswer, Task


class CheckedFederation:
    """A federation of sites that nobody here vouches for.

    Each answer is checked by its kind (`answer_checks.py`), in the light of what its site has described. Whatever goes
    wrong in that, a fault in this program included, refuses the answer and names the site; it never ends the run.
    Sites of one's own process are not reached through it, so that there an error is raised where it is.

    Args:
        federation: The way to the sites.
        map_places: Places along each axis of a mean saliency map; None where none is asked for.
        outcome: What the model predicts.
    """

    def __init__(self, federation: Federation, map_places: int | None = None, outcome: Outcome = BINARY) -> None:
        self._federation = federation
        self._unknown = SiteDescription(map_places=map_places, outcome=outcome)
        self._described: dict[str, SiteDescription] = {}

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        return self._federation.sites

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Yield one answer, fault or `RefusedAnswer` per site, as they arrive."""
        for reply in self._federation.ask(tasks):
            yield self._checked(tasks[reply.site], reply) if isinstance(reply, Answer) else reply
            del reply  # before the next one comes

    def _checked(self, task: Task, answer: Answer) -> Answer | Fault:
        known = self._described.get(answer.site, self._unknown)
        try:
            check_answer(task, answer, known)
        except (ValueError, InputError) as error:
            return RefusedAnswer(answer.site, one_line(f"its answer to {task.kind} was refused: {error}"))
        except Exception as error:
            return RefusedAnswer(answer.site, f"its answer to {task.kind} was refused ({type(error).__name__})")
        self._described[answer.site] = known.after(answer)
        return answer
