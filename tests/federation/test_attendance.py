"""Who is asked outside the rounds, and who is left out."""

from collections.abc import Iterator, Mapping

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.attendance import Absence, Attendance
from fedtune3d.federation.messages import Answer, Fault, RefusedAnswer, Task
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.score import ScoreAnswer

TASK = Task(CountScans())


class Sites:
    """Sites whose replies are given: one list per site, a reply for each time it is asked."""

    def __init__(self, **replies: list[Answer | Fault]) -> None:
        self.replies = replies
        self.asked: list[tuple[str, ...]] = []

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(sorted(self.replies))

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        self.asked.append(tuple(tasks))
        for site in sorted(tasks, reverse=True):
            yield self.replies[site].pop(0)


def good(site: str) -> Answer:
    return Answer(site, ScoreAnswer())


def test_planning_goes_on_without_a_site_whose_answer_is_refused() -> None:
    attendance = Attendance(Sites(A=[good("A")], B=[RefusedAnswer("B", "nonsense")], C=[good("C")]), strict=False)
    assert [answer.site for answer in attendance.plan(TASK)] == ["A", "C"]
    assert attendance.sites == attendance.federation.sites == ("A", "C")
    assert attendance.absences == [Absence("B", "count scans", "nonsense")]


def test_planning_stops_at_a_site_that_says_it_cannot() -> None:
    attendance = Attendance(Sites(A=[good("A")], B=[Fault("B", "no disk")]), strict=False)
    with pytest.raises(InputError, match="site B: no disk; fix this and run again with --resume"):
        attendance.plan(TASK)


def test_planning_stops_where_nobody_is_left() -> None:
    with pytest.raises(InputError, match=r"no site is left to train with \(A: nonsense\)"):
        Attendance(Sites(A=[RefusedAnswer("A", "nonsense")]), strict=False).plan(TASK)


def test_a_description_is_missed_by_nobody() -> None:
    attendance = Attendance(Sites(A=[good("A")], B=[RefusedAnswer("B", "nonsense")]), strict=False)
    assert [answer.site for answer in attendance.describe(TASK)] == ["A"]
    assert attendance.sites == ("A", "B")


def test_after_the_rounds_a_site_is_asked_once_more() -> None:
    sites = Sites(A=[good("A")], B=[Fault("B", "restarting"), good("B")], C=[Fault("C", "x"), Fault("C", "gone")])
    attendance = Attendance(sites, strict=False)
    answers = attendance.finish(dict.fromkeys("ABC", TASK), "evaluate (local)")
    assert sorted(answer.site for answer in answers) == ["A", "B"]
    assert sites.asked == [("A", "B", "C"), ("B", "C")]
    assert attendance.absences == [Absence("C", "evaluate (local)", "gone")]


def test_in_one_process_every_fault_stops_the_run() -> None:
    for ask in ("plan", "describe"):
        with pytest.raises(InputError, match="site A: broken"):
            getattr(Attendance(Sites(A=[RefusedAnswer("A", "broken")]), strict=True), ask)(TASK)
    with pytest.raises(InputError, match="site A: broken"):
        list(Attendance(Sites(A=[Fault("A", "broken")]), strict=True).finish({"A": TASK}, "evaluate"))
