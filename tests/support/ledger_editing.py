"""Write and change the ledger of a run folder, chained as a run writes it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from fedtune3d._utils.folders import RunFolder
from fedtune3d.federation.ledger import LedgerLine, append_ledger_line, read_ledger


def write_ledger(folder: Path, lines: Iterable[LedgerLine]) -> None:
    path = RunFolder(folder).rounds.ledger
    path.unlink(missing_ok=True)
    path.touch()
    for line in lines:
        append_ledger_line(path, line)


def change_ledger(folder: Path, change: Callable[[list[LedgerLine]], Iterable[LedgerLine]]) -> None:
    write_ledger(folder, change(read_ledger(RunFolder(folder).rounds.ledger)))
