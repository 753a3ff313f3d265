"""Text from elsewhere does nothing where it is written."""

import csv
import io

import pytest

from fedtune3d._utils.foreign_text import MAX_LINE, markdown, one_line, table_cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("AD", "AD"),
        ("Alzheimer’s, früh", "Alzheimer’s, früh"),
        ("a\n  b\tc", "a b c"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u200bb", "a\\u200bb"),
        ("line\u2028two", "line two"),
        ("\ud800", "\\ud800"),
    ],
)
def test_one_line_shows_what_cannot_be_seen(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_one_line_ends() -> None:
    assert len(one_line("x" * 10_000)) == MAX_LINE


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1+1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert not table_cell(text).startswith(("=", "+", "-", "@", "\t"))
    written = io.StringIO()
    csv.writer(written, delimiter="\t").writerow([table_cell(text), "next"])
    ((cell, after),) = csv.reader(io.StringIO(written.getvalue()), delimiter="\t")
    assert after == "next"
    assert cell.startswith("'")


@pytest.mark.parametrize("number", ["-1.5", "+3", "1e-3", "-inf"])
def test_a_number_stays_a_number(number: str) -> None:
    assert table_cell(number) == number


def test_markdown_shows_markup_as_text() -> None:
    assert markdown("a|b") == "a\\|b"
    assert markdown("[x](http://evil)") == "\\[x\\]\\(http&#58;//evil\\)"
    assert "<" not in markdown("<script>alert(1)</script>")
    assert markdown("# title\n# other") == "\\# title \\# other"
