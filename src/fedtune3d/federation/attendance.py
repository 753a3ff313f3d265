"""Who takes part in a run outside its rounds, and who is left out of a step because of what it sent, or did not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.messages import Answer, Fault, Federation, Part, RefusedAnswer, Task, answer_of


@dataclass(frozen=True)
class Absence:
    """A site that is left out of a step.

    Attributes:
        site: Its name.
        step: The step, in words.
        reason: Why, in one line.
    """

    site: str
    step: str
    reason: str


@dataclass(frozen=True)
class Absences:
    """The contents of ``absences.json``: all absences of a run outside its rounds."""

    absences: tuple[Absence, ...]


class Attendance:
    """Asks sites outside the rounds, and keeps the run going without those whose answers cannot be had.

    In one process (`strict`) any fault is one of the user or of the code, and stops the run. Across hospitals an answer
    that is refused leaves its site out of the step, in planning out of the run. A site that says itself that it cannot
    stops the run while it is planned, when nothing is lost and it can be mended; later it is asked once more, and then
    left out.

    Attributes:
        sites: Those still in the run, sorted.
        absences: So far.
    """

    def __init__(self, federation: Federation, *, strict: bool) -> None:
        self._federation = federation
        self._strict = strict
        self.sites = federation.sites
        self.absences: list[Absence] = []

    @property
    def federation(self) -> Federation:
        """The sites that are still in the run."""
        return self._federation if self.sites == self._federation.sites else Part(self._federation, self.sites, "")

    def plan(self, task: Task) -> list[Answer]:
        """The answers of all sites to a task before the rounds; who has none is out of the run.

        Raises:
            InputError: If a site cannot answer, or none is left.
        """
        answers = self.describe(task)
        self.sites = tuple(answer.site for answer in answers)
        if not answers:
            why = "; ".join(f"{absence.site}: {absence.reason}" for absence in self.absences)
            raise InputError(f"no site is left to train with ({why})")
        return answers

    def describe(self, task: Task) -> list[Answer]:
        """The answers to a task before the rounds without which a site can still train. Raises as `plan`."""
        replies = list(self._federation.ask(dict.fromkeys(self.sites, task)))
        answers = [answer_of(reply) for reply in replies if self._strict or not isinstance(reply, RefusedAnswer)]
        for reply in replies:
            if isinstance(reply, RefusedAnswer) and not self._strict:
                self.leave_out(reply.site, task.kind, reply.reason)
        return sorted(answers, key=lambda answer: answer.site)

    def finish(self, tasks: Mapping[str, Task], step: str, federation: Federation | None = None) -> Iterator[Answer]:
        """The answers to tasks after the rounds, of those who have one; others are asked once more.

        Args:
            tasks: Site → its task.
            step: In words, for what is written down.
            federation: The way to the sites; None for that of the run.

        Raises:
            InputError: In one process, if a site has no answer.
        """
        federation, failed = federation or self._federation, dict[str, Fault]()
        for attempt in range(2):
            for reply in federation.ask(tasks if not attempt else {site: tasks[site] for site in sorted(failed)}):
                failed.pop(reply.site, None)
                if self._strict or isinstance(reply, Answer):
                    yield answer_of(reply)
                else:
                    failed[reply.site] = reply
            if not failed:
                return
        for site, fault in sorted(failed.items()):
            self.leave_out(site, step, fault.reason)

    def leave_out(self, site: str, step: str, reason: str) -> None:
        """Write down that a site is left out of a step."""
        self.absences.append(Absence(site, step.replace("_", " "), reason))

    def finishing(self, step: str) -> Federation:
        """The sites of the run as a federation that gives only answers, as `finish` does."""
        return _Finishing(self, step)


@dataclass(frozen=True)
class _Finishing:
    attendance: Attendance
    step: str

    @property
    def sites(self) -> tuple[str, ...]:
        return self.attendance.sites

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer]:
        return self.attendance.finish(tasks, self.step)
