import io

from rich.console import Console

from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.federation.site.audit import PeopleByClass, PeopleOfClass
from fedtune3d.federation.tasks.describe_people import PeopleDescription
from fedtune3d.report.balance import balance_table


def people(count: int | None, women: int | None) -> PeopleOfClass:
    return PeopleOfClass(count, women, None if women is None else (71.25, 6.0))


def shown(described: dict[str, PeopleDescription]) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(balance_table(described))
    return console.file.getvalue()  # type: ignore[attr-defined]


def described(classes: PeopleByClass, age_auc: Estimate) -> dict[str, PeopleDescription]:
    splits = dict.fromkeys(("train", "validation", "test", "all"), classes)
    return {"Graz": PeopleDescription(splits=splits, age_auc=age_auc)}


def test_what_is_held_back_says_why() -> None:
    text = shown(described(PeopleByClass((people(None, None), people(12, 7))), undefined("too few")))
    assert "12 (7)" in text
    assert "71.2 ± 6.0" in text
    assert "held back, –: not sent by the site: too few people, or no such column" in text
    assert "AUC of age" not in text


def test_nothing_wraps_and_the_age_is_named() -> None:
    every = PeopleByClass((people(14, 6), people(12, 7)))
    text = shown(described(every, defined(0.59, (0.45, 0.73), "", few=False)))
    assert "AUC of age for the label, Graz: 0.59 [0.45, 0.73]" in text
    assert "held back" not in text
    assert len(text.strip().splitlines()) == 11  # title, blank, head of two lines, rule, four rows, blank, note
