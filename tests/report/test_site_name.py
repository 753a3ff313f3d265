"""Names of sites in terminal tables of 80 columns: on several lines, if need be, and never cut."""

import io

from rich.console import Console, RenderableType
from rich.table import Table

from fedtune3d.federation.site.audit import PeopleByClass, PeopleOfClass
from fedtune3d.federation.tasks.describe_people import PeopleDescription
from fedtune3d.report.balance import balance_table
from fedtune3d.report.outcome_tables import OutcomeTable, terminal_table
from fedtune3d.report.site_name import SiteName

LONG = ("memory-clinic-leiden", "memory-clinic-bristol")


def shown(table: RenderableType) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_name_continues_after_a_hyphen_and_is_never_cut() -> None:
    table = Table("Site", *("a column of figures " * 2 for _ in range(3)))
    for name in (*LONG, "B", "x" * 60):
        table.add_row(SiteName(name), *("figures",) * 3)
    text = shown(table)
    assert "…" not in text
    column = [line.split("│")[1].strip() for line in text.splitlines() if "│" in line]
    assert all(name in "".join(column) for name in (*LONG, "x" * 60))
    assert {"leiden", "bristol"} <= set(column)  # whole parts, on lines of their own


def test_results_per_site_name_them_whole_and_break_no_interval() -> None:
    interval = "0.29 [0.15, 0.50]"
    rows = [(name, *(interval,) * 3) for name in (*LONG, "Mean")]
    text = shown(terminal_table(OutcomeTable("AUC", ("Site", "Federated", "Local", "Centralized"), rows)))
    assert text.count(interval) == 9
    assert "…" not in text
    column = "".join(line[:21].strip() for line in text.splitlines())
    assert all(name in column for name in LONG)


def test_ages_stay_on_one_line_next_to_long_names_and_three_classes() -> None:
    people = PeopleByClass(tuple(PeopleOfClass(13, women, (71.25, 8.4)) for women in (6, 7, 8)))
    described = dict.fromkeys(
        LONG, PeopleDescription(splits=dict.fromkeys(("train", "validation", "test", "all"), people))
    )
    text = shown(balance_table(described, ("CN", "MCI", "AD")))
    rows = [line for line in text.splitlines() if "±" in line]
    assert len(rows) == 8
    assert all(row.count("71.2 ± 8.4") == 3 and row.count("13 (") == 3 for row in rows)
    assert "…" not in text
    names = "".join(line[:17].strip() for line in text.splitlines())
    assert all(name in names for name in LONG)
