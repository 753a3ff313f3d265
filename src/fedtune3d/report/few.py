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
    listed = [(name, any(estimate is not None and estimate.mark == "few" for estimate in row)) for name, row in rows]
    marked = [name for name, few in listed if few]
    if not marked:
        return ""
    where = "every row" if len(marked) == len(listed) > 1 else ", ".join(dict.fromkeys(marked))
    return f"Fewer than {FEW} people{' in a class' if by_class else ''}: {where}."
