"""Class balance, sex and age per site and split, for the terminal and for the page."""

from collections.abc import Mapping
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.federation.site.audit import PeopleOfClass
from fedtune3d.federation.tasks.describe_people import PeopleDescription
from fedtune3d.report.flow import HELD_BACK
from fedtune3d.report.number_formatting import interval

_SPLITS = ("train", "validation", "test", "all")


class BalanceRow(NamedTuple):
    """One split of one site: people (women) and age of each class, formatted. `age_auc` is set only for ``all``."""

    site: str
    split: str
    positive: tuple[str, str]
    negative: tuple[str, str]
    age_auc: str


def balance_rows(described: Mapping[str, PeopleDescription]) -> list[BalanceRow]:
    """Return one row per site and split, and one per site for all its people."""
    return [
        BalanceRow(
            site,
            split,
            _class(people.splits[split].of(1)),
            _class(people.splits[split].of(0)),
            interval(people.age_auc) if split == "all" and people.age_auc.value is not None else "",
        )
        for site, people in described.items()
        for split in _SPLITS
    ]


def _class(group: PeopleOfClass) -> tuple[str, str]:
    women, age = "–" if group.women is None else group.women, group.age
    return (
        HELD_BACK if group.people is None else f"{group.people} ({women})",
        "–" if age is None else f"{age[0]:.1f} ± {age[1]:.1f}",
    )


def balance_table(described: Mapping[str, PeopleDescription]) -> Table:
    """Tabulate people, women and age (mean ± SD) of each class per site and split; the caption has the AUC of age."""
    table = Table(title="People per site and split", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site")
    table.add_column("Split", no_wrap=True)
    for name in ("Pos. (women)", "age", "Neg. (women)", "age"):
        table.add_column(name, justify="right")
    rows = balance_rows(described)
    for row in rows:
        cells = (*row.positive, *row.negative)
        table.add_row(
            Text(row.site if row.split == _SPLITS[0] else ""), row.split, *cells, end_section=row.split == "all"
        )
    notes = [f"AUC of age for the label, {row.site}: {row.age_auc}" for row in rows if row.age_auc]
    if any(part in (HELD_BACK, "–") or "(–)" in part for row in rows for part in (*row.positive, *row.negative)):
        notes.insert(0, f"{HELD_BACK}, –: not sent by the site: too few people")
    table.caption, table.caption_justify = Text("\n".join(notes)), "left"
    return table
