"""The one mark of a table for estimates that rest on few people."""

from collections.abc import Iterable

from fedtune3d.evaluation.estimate import FEW, Estimate

Marked = Iterable[Estimate | None]


def few_note(rows: Iterable[tuple[str, Marked]], by_class: bool = True) -> str:
    """Say which rows of a table have estimates with fewer than ten people in a class; empty if none has.

    Args:
        rows: Name of each row → its estimates; None stands for an empty cell.
        by_class: Whether people are counted by class; False for a number, which counts all together.
    """
    return note_on_few([(name, is_few(row)) for name, row in rows], by_class)


def is_few(estimates: Marked) -> bool:
    """Return whether any of the estimates of a row rests on few people."""
    return any(estimate is not None and estimate.mark == "few" for estimate in estimates)


def note_on_few(rows: Iterable[tuple[str, bool]], by_class: bool = True) -> str:
    """Say the same of rows that are known to rest on few people, or not.

    Args:
        rows: Name of each row, and whether it rests on few people.
        by_class: As in `few_note`.
    """
    listed = list(rows)
    marked = [name for name, few in listed if few]
    if not marked:
        return ""
    where = "all rows" if len(marked) == len(listed) > 1 else ", ".join(dict.fromkeys(marked))
    return f"Fewer than {FEW} people{' in a class' if by_class else ''}: {where}."
