"""The terminal table of `cache list`."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.workflows.cache import SiteEntries


def cache_table(parts: Sequence[SiteEntries]) -> tuple[Table, list[Path]]:
    """One row per site and kind of entry; also returns the entries whose headers are damaged."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("Site", "Kind"):
        table.add_column(name)
    for name in ("Entries", "MB", "Last used"):
        table.add_column(name, justify="right")
    damaged, total = [], 0
    for part in parts:
        entries = part.entries.list_entries()
        size = sum(entry.size_bytes for entry in entries)
        total += size
        damaged += [entry.path for entry in entries if not entry.causes]
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(entry.used for entry in entries))) if entries else "–"
        table.add_row(Text(part.site), part.kind, str(len(entries)), f"{size / 1e6:,.1f}", used)
    table.add_section()
    table.add_row("All", "", "", f"{total / 1e6:,.1f}", "")
    return table, damaged
