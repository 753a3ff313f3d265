"""The flow of participants as a table: every column adds up, and what is not known is not shown as a number."""

from dataclasses import replace

from rich.console import Console

from fedtune3d.cohorts.flow import ByClass, Counts, Flow, LeftOut
from fedtune3d.report.flow import flow_columns, flow_rows, flow_table


def flow(mci: int | None, faults: int | None, positive: int | None, negative: int) -> Flow:
    """The flow of a site of so many people, each with one scan but the positive, who have two."""
    classes = ByClass((Counts(negative, negative), Counts(positive, positive and 2 * positive)))
    nobody = ByClass((Counts(0, 0), Counts(0, 0)))
    steps = [
        ("neither positive nor negative", "diagnosis MCI", mci),
        ("scan at fault", "expected finite voxels", faults),
    ]
    return Flow(
        found=Counts(20, 30),
        left_out=tuple(LeftOut(reason, detail, Counts(count, count)) for reason, detail, count in steps if count != 0),
        included=classes.total,
        several_classes=Counts(0, 0),
        splits={"all": classes, "train": classes, "validation": nobody, "test": nobody},
    )


def test_a_row_a_reason_and_a_column_a_site_that_add_up() -> None:
    rows = {row.title: row.cells for row in flow_rows([flow(5, 0, 3, 4), flow(0, 2, 1, 2)])}
    assert list(rows)[:5] == [
        "Found",
        "Excluded",
        "neither positive nor negative: diagnosis MCI",
        "scan at fault: expected finite voxels",
        "Included",
    ]
    assert rows["Found"] == ["20 (30)", "20 (30)", "40 (60)"]
    assert rows["Excluded"] == ["5 (5)", "2 (2)", "7 (7)"]
    assert rows["neither positive nor negative: diagnosis MCI"] == ["5 (5)", "0 (0)", "5 (5)"]
    assert rows["scan at fault: expected finite voxels"] == ["0 (0)", "2 (2)", "2 (2)"]
    assert rows["Included"] == ["7 (10)", "3 (4)", "10 (14)"]
    assert rows["Training"] == ["7 (10)", "3 (4)", "10 (14)"]


def test_a_reason_calls_two_classes_by_their_names() -> None:
    titles = [row.title for row in flow_rows([flow(5, 0, 3, 4)], ("CN", "AD"))]
    assert "neither AD nor CN: diagnosis MCI" in titles
    assert not any("positive" in title or "negative" in title for title in titles)


def test_what_is_elsewhere_or_too_few_to_leave_is_no_number() -> None:
    rows = {row.title: row.cells for row in flow_rows([flow(5, 0, 3, 4), None])}
    assert rows["Included"] == ["7 (10)", "–", "–"]
    rows = {row.title: row.cells for row in flow_rows([flow(None, 0, None, 4), flow(5, 0, 3, 4)])}
    assert rows["neither positive nor negative: diagnosis MCI"] == ["held back", "5 (5)", "held back"]
    assert rows["Training"] == ["held back", "7 (10)", "held back"]
    assert rows["Excluded"] == ["held back", "5 (5)", "held back"]


def test_who_is_in_both_classes_is_said() -> None:
    mixed = replace(flow(5, 0, 3, 4), several_classes=Counts(1, 2))
    rows = {row.title: row.cells for row in flow_rows([mixed, flow(0, 2, 1, 2)])}
    assert rows["of these, with scans of both classes"] == ["1 (2)", "0 (0)", "1 (2)"]
    assert "of these, with scans of both classes" not in {row.title for row in flow_rows([flow(5, 0, 3, 4)])}


def test_before_the_split_there_are_classes_only() -> None:
    unsplit = flow(5, 0, 3, 4)
    unsplit = replace(unsplit, splits={"all": unsplit.splits["all"]})
    assert [row.title for row in flow_rows([unsplit])][-3:] == ["Included", "positive", "negative"]
    assert flow_columns(["A"]) == ["A"]


def test_the_terminal_shows_the_same() -> None:
    console = Console(record=True, width=100)
    console.print(flow_table({"A": flow(5, 0, 3, 4), "[B]": flow(0, 2, 1, 2)}))
    text = console.export_text()
    assert "[B]" in text
    assert ["neither", "positive", "nor", "negative:", "diagnosis", "MCI", "5", "(5)", "0", "(0)", "5", "(5)"] in [
        line.split() for line in text.splitlines()
    ]
