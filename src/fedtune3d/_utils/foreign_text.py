"""Text from elsewhere (a site, a table, a file's name), made harmless for where it is written.

One function per place: a line of a console, log or message; a cell of a TSV or CSV file, which a spreadsheet may open;
Markdown. HTML is escaped by its templates.
"""

import unicodedata

MAX_LINE = 2000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet take a cell for a formula (OWASP, CSV injection)."""
MARKDOWN = "\\`*_{}[]<>()#|!~"
_INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")
"""Categories of Unicode: controls, formats (which also turn the direction of writing), separators of lines."""


def one_line(text: str, longest: int = MAX_LINE) -> str:
    """Return a text on one line: line ends and runs of blanks become a blank, what cannot be seen is written out."""
    visible = "".join(_visible(letter) for letter in " ".join(text.split()))
    return visible if len(visible) <= longest else f"{visible[: longest - 1]}…"


def printable(text: str) -> str:
    """Return a text with its line ends, in which everything else that cannot be seen is written out."""
    return "".join(letter if letter == "\n" else _visible(letter) for letter in text)


def table_cell(text: str) -> str:
    """Return a text as a cell of a TSV or CSV file that no spreadsheet evaluates; a number stays what it is."""
    line = one_line(text)
    return f"'{line}" if line.startswith(FORMULA) and not _is_number(line) else line


def markdown(text: str) -> str:
    """Return a text that Markdown shows as it is: no markup, HTML, link or further cell of a table."""
    escaped = "".join(f"\\{letter}" if letter in MARKDOWN else letter for letter in one_line(text))
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("://", "&#58;//")


def _visible(letter: str) -> str:
    if unicodedata.category(letter) in _INVISIBLE:
        return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
    return letter


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
