"""Messages say what they are, and strangers among them are refused."""

import pytest
import torch
from pydantic import ValidationError

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.messages import LOCAL, Answer, Fault, Part, Task, answer_of, answers_of_all, parts_bytes
from fedtune3d.federation.tasks.count_scans import CountScans, ScanCounts
from fedtune3d.federation.tasks.score import Score

COUNTS = ScanCounts(simulated=False, people=3, scans=3, own_groups=3, declared_groups={})


class Sites:
    """Sites that answer in the reverse order of their names, but for the absent ones."""

    def __init__(self, *names: str, absent: str = "") -> None:
        self.sites, self.absent, self.asked = tuple(sorted(names)), absent, dict[str, Task]()

    def ask(self, tasks):  # type: ignore[no-untyped-def]
        self.asked = dict(tasks)
        for site in sorted(tasks, reverse=True):
            yield Fault(site, "the line is dead") if site == self.absent else Answer(site, COUNTS)


def test_a_message_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="expected CountScans, got Score"):
        Task(Score()).expect(CountScans)
    with pytest.raises(InputError, match="site A: expected Payload2, got ScanCounts"):
        Answer("A", COUNTS).expect(type("Payload2", (ScanCounts,), {}))
    assert Answer("A", COUNTS).expect(ScanCounts) is COUNTS


def test_messages_are_strict() -> None:
    for values in ({"scans": "3"}, {"scans": -1}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            ScanCounts.model_validate(COUNTS.model_dump() | values)


def test_answers_outside_the_rounds_come_by_name_and_a_fault_stops() -> None:
    assert [answer.site for answer in answers_of_all(Sites("B", "C", "A"), Task(CountScans()))] == ["A", "B", "C"]
    with pytest.raises(InputError, match="site B: the line is dead; fix this and run again with --resume"):
        answers_of_all(Sites("A", "B", absent="B"), Task(CountScans()))
    with pytest.raises(InputError, match="site A: gone"):
        answer_of(Fault("A", "gone"))


def test_a_part_asks_in_its_own_namespace() -> None:
    sites = Sites("A", "B")
    assert [answer.site for answer in Part(sites, ("A",), LOCAL).ask({"A": Task(CountScans())})] == ["A"]
    assert sites.asked["A"].namespace == LOCAL


def test_bytes_of_all_parts() -> None:
    assert parts_bytes({"state": {"w": torch.zeros(3)}, "more": {"n": torch.zeros(2, dtype=torch.int64)}}) == 12 + 16
