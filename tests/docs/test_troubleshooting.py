"""The messages that the page of troubleshooting explains are messages of the program."""

import ast
import re
from pathlib import Path

from doc_pages import DOCS, ROOT

PAGE = DOCS / "how-to" / "troubleshooting.md"


def messages_in(folder: Path) -> list[str]:
    """Every text in a folder of code; values that are filled in stand as ``…``."""
    texts = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_every_message_is_one_of_the_program() -> None:
    quoted = [found[1] for found in re.findall(r"^### (`+) ?(.+?) ?\1$", PAGE.read_text(), flags=re.MULTILINE)]
    texts = messages_in(ROOT / "src" / "fedtune3d")
    missing = [message for message in quoted if not any(message.strip("… ") in text for text in texts)]
    assert missing == []
    assert len(quoted) == len(set(quoted)) >= 20
