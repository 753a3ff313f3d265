"""Class balance, sex and age per site and split, for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.outcome import BINARY, in_shown_order
from fedtune3d.federation.site.audit import PeopleOfClass
from fedtune3d.federation.tasks.describe_people import PeopleDescription
from fedtune3d.report.flow import HELD_BACK
from fedtune3d.report.number_formatting import interval

_SPLITS = ("train", "validation", "test", "all")


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


def balance_table(described: Mapping[str, PeopleDescription], classes: Sequence[str] = BINARY.strata) -> Table:
    """Tabulate people, women and age (mean ± SD) of each class per site and split; the caption has the AUC of age."""
    table = Table(title="People per site and split", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site")
    table.add_column("Split", no_wrap=True)
    for name in balance_heads(classes):
        table.add_column(Text(name), justify="right")
    rows = balance_rows(described, len(classes))
    for row in rows:
        table.add_row(
            Text(row.site if row.split == _SPLITS[0] else ""), row.split, *row.cells, end_section=row.split == "all"
        )
    notes = [f"AUC of age for the label, {row.site}: {row.age_auc}" for row in rows if row.age_auc]
    if any(part in (HELD_BACK, "–") or "(–)" in part for row in rows for part in row.cells):
        notes.insert(0, f"{HELD_BACK}, –: not sent by the site: too few people")
    table.caption, table.caption_justify = Text("\n".join(notes)), "left"
    return table
