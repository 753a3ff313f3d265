"""Sites without scans, for what reads names and tables only."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest


def make_site(root: Path, table: str | bytes | None, scans: Iterable[str]) -> Path:
    """A site whose scans are empty files, as reading looks at their names only."""
    root.mkdir(parents=True, exist_ok=True)
    if table is not None:
        (root / "participants.tsv").write_bytes(table if isinstance(table, bytes) else table.encode())
    for scan in scans:
        (root / scan).parent.mkdir(parents=True, exist_ok=True)
        (root / scan).touch()
    return root


@pytest.fixture(scope="session")
def empty_site() -> Callable[[Path, str | bytes | None, Iterable[str]], Path]:
    """`make_site`."""
    return make_site
