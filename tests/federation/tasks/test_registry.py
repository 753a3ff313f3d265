"""Every kind of task declares what its answer reveals, and a kind or field that does not never leaves a site."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest

import fedtune3d.federation.tasks as folder
from fedtune3d._utils.errors import InputError
from fedtune3d.config.policy import Policy
from fedtune3d.federation.messages import Payload
from fedtune3d.federation.privacy.declarations import (
    NOTHING,
    AtLeast,
    CountedBy,
    Declaration,
    Reveals,
    declarations_of,
)
from fedtune3d.federation.tasks.registry import task_kind, task_kinds

KINDS = [
    "assign_splits",
    "confirm_survivors",
    "count_scans",
    "describe_features",
    "describe_people",
    "evaluate",
    "fingerprint_scans",
    "map_saliency",
    "mask_update",
    "profile_intensities",
    "reveal_shares",
    "score",
    "share_secrets",
    "train",
]

NEW_KIND = """
from typing import Annotated, ClassVar

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import CountedBy, Declaration, Reveals
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.tasks.kind import TaskKind


class CountWomen(Instruction):
    kind: ClassVar[str] = "count_women"


class Women(Payload):
    women: {declared}


def count_women(site: SiteData, task: Task) -> Answer:
    return Answer(site.name, Women(women=sum(record.sex == "F" for record in site.records)))


KIND = TaskKind(CountWomen, Women, count_women, contents="number of women")
"""


@pytest.fixture
def tasks_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which further kinds are found."""
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    task_kinds.cache_clear()
    yield tmp_path
    task_kinds.cache_clear()
    sys.modules.pop(f"{folder.__name__}.count_women", None)


def test_every_kind_declares_every_field() -> None:
    assert list(task_kinds()) == KINDS
    for kind in task_kinds().values():
        declared = {**declarations_of(kind.payload), **kind.parts}
        assert declared
        for declaration in declared.values():
            assert (declaration.people is None) == (declaration.reveals is Reveals.NOTHING)
            if isinstance(declaration.people, AtLeast):
                assert isinstance(getattr(Policy(), declaration.people.policy_key), int)


def test_a_file_adds_a_kind(tasks_folder: Path) -> None:
    declared = 'Annotated[int, Declaration(Reveals.COUNT, CountedBy("women"))] = 0'
    (tasks_folder / "count_women.py").write_text(NEW_KIND.replace("{declared}", declared))
    assert task_kind("count_women").payload.__name__ == "Women"


def test_a_kind_with_an_undeclared_field_is_refused(tasks_folder: Path) -> None:
    (tasks_folder / "count_women.py").write_text(NEW_KIND.replace("{declared}", "int"))
    with pytest.raises(TypeError, match=r"Women\.women: no declaration of what it reveals"):
        task_kinds()


def test_a_field_about_people_needs_a_default_that_leaves_in_its_place(tasks_folder: Path) -> None:
    declared = 'Annotated[int, Declaration(Reveals.COUNT, CountedBy("women"))]'
    (tasks_folder / "count_women.py").write_text(NEW_KIND.replace("{declared}", declared))
    with pytest.raises(TypeError, match=r"Women\.women: no default, so it cannot be withheld"):
        task_kinds()


def test_an_unknown_kind_is_the_users_error() -> None:
    with pytest.raises(InputError, match=r"expected a task of kind assign_splits, .*, got 'diagnose'"):
        task_kind("diagnose")


def test_people_are_counted_by_a_field_that_exists() -> None:
    class Mean(Payload):
        why: Annotated[str, NOTHING]
        age: Annotated[float | None, Declaration(Reveals.STATISTIC, CountedBy("people"))] = None

    with pytest.raises(TypeError, match=r"Mean\.age: counts people by 'people', not a field"):
        declarations_of(Mean)
