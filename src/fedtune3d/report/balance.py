"""Class balance, sex and age per site and split, for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.outcome import BINARY, in_shown_order
from fedtune3d.federation.site.audit import PeopleOfClass
from fedtune3d.federation.tasks.describe_people import PeopleDescription
from fedtune3d.report.flow import HELD_BACK
from fedtune3d.report.number_formatting import interval
from fedtune3d.report.site_name import SiteName

_SPLITS = ("train", "validation", "test", "all")
LONGEST_NAME = 15
"""Letters of a site's name on one line: with more, three classes would not fit into 80 columns."""
LONGEST_CELL = 11
"""As long as an age; what is longer may continue on the next line."""


class BalanceRow(NamedTuple):
    """One split of one site: people (women) and age of each class, formatted, in shown order.

    `age_auc` is set only for ``all``.
    """

    site: str
    split: str
    classes: tuple[tuple[str, str], ...]
    age_auc: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of all classes."""
        return tuple(cell for of_class in self.classes for cell in of_class)


def balance_rows(described: Mapping[str, PeopleDescription], classes: int = 2) -> list[BalanceRow]:
    """Return one row per site and split, and one per site for all its people."""
    return [
        BalanceRow(
            site,
            split,
            tuple(_class(people.splits[split].of(label)) for label in in_shown_order(range(classes))),
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


def balance_heads(classes: Sequence[str]) -> list[str]:
    """Return the heads of the columns of `BalanceRow.cells`."""
    if tuple(classes) == BINARY.strata:
        return ["Pos. (women)", "age", "Neg. (women)", "age"]
    named = ["People"] if len(classes) == 1 else list(in_shown_order(classes))
    return [head for name in named for head in (f"{name} (women)", "age")]


def balance_table(described: Mapping[str, PeopleDescription], classes: Sequence[str] = BINARY.strata) -> Group:
    """Tabulate people, women and age (mean ± SD) of each class per split, one site below the other.

    Notes below say what is held back, and the AUC of age.
    """
    rows = balance_rows(described, len(classes))
    heads = [name.replace(" (", "\n(") for name in balance_heads(classes)]
    first = max((min(len(site), LONGEST_NAME) for site in described), default=0)
    widths = [max(len(row.cells[column]) for row in rows) for column in range(len(heads))] if rows else []
    tables = []
    for site in described:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column(SiteName(site), min_width=first)
        for head, width in zip(heads, widths, strict=True):
            table.add_column(Text(head), justify="right", min_width=min(width, LONGEST_CELL))
        for row in rows:
            if row.site == site:
                table.add_row(row.split, *row.cells)
        tables.append(table)
    notes = [f"AUC of age for the label, {row.site}: {row.age_auc}" for row in rows if row.age_auc]
    if any(part in (HELD_BACK, "–") or "(–)" in part for row in rows for part in row.cells):
        notes.insert(0, f"{HELD_BACK}, –: not sent by the site: too few people, or no such column")
    return Group(Text("People per site and split", style="italic"), *tables, *map(Text, notes))
