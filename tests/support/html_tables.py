"""The tables of a page, as text."""

from html.parser import HTMLParser
from pathlib import Path


class Tables(HTMLParser):
    """Caption → the cells of each row, blanks made one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] = []
        self.caption, self.inside = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = "cell"
        elif tag == "caption":
            self.inside = "caption"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "caption"):
            self.inside = ""
        elif tag == "table":
            self.found[self.caption] = [[" ".join(cell.split()) for cell in row] for row in self.rows[1:]]

    def handle_data(self, data: str) -> None:
        if self.inside == "cell":
            self.rows[-1][-1] += data
        elif self.inside == "caption":
            self.caption += data


def tables_in(page: Path) -> dict[str, list[list[str]]]:
    parser = Tables()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser.found


def table_of(tables: dict[str, list[list[str]]], words: str) -> list[list[str]]:
    """The rows of the first table whose caption has these words."""
    return next(rows for caption, rows in tables.items() if words in caption)
