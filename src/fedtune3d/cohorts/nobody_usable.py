"""Advice where no row of a site's tables can be used, or none is in a class: criterion, labels, or column."""

from collections import Counter
from collections.abc import Iterable, Sequence

from fedtune3d._utils.names import did_you_mean
from fedtune3d.cohorts.inclusion import Included, Wanted
from fedtune3d.cohorts.label_expressions import Comparison, Row
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.cohorts.records import Unlabelled

LONGEST_LIST = 8
"""Values of a column that a message lists at most."""


def nobody_usable(rows: Sequence[Row], wanted: Wanted, of_site: str = "") -> str:
    """Say what was expected, what the tables have, and which key to correct.

    Args:
        rows: All rows of a site's tables, none of which has a label or a number that is included.
        wanted: What the model is to predict, and of which rows.
        of_site: Such as `` of site A`` where the labels are the site's own, which decide there.
    """
    if not rows:
        return f"expected {wanted}, found no participant; add the site's people to the table"
    truth = wanted.truth if isinstance(wanted, Included) else wanted
    included = [row for row in rows if wanted.expression.holds(row)] if isinstance(wanted, Included) else rows
    if isinstance(wanted, Included) and not included:
        comparisons = wanted.expression.comparisons
        found = "; ".join(_values(rows, column) for column in dict.fromkeys(part.column for part in comparisons))
        return f"nobody meets include: {wanted.criterion}; {found}{_suggestion(rows, comparisons, 'include')}"
    where = f" among the {len(included)} who meet include: {wanted.criterion}" if isinstance(wanted, Included) else ""
    if isinstance(truth, NumberColumn):
        column = truth.outcome.column
        return f"expected numbers in the column {column}{where}, found none; fill them in, or correct target.column"
    comparisons = [part for expression in truth.expressions for part in expression.comparisons]
    unusable = Counter(
        label.detail or label.reason for row in included if isinstance(label := truth.label(row), Unlabelled)
    )
    listed = ", ".join(f"{name}: {count}" for name, count in sorted(unusable.items()))
    return f"expected {truth}{where}, found {listed}{_suggestion(included, comparisons, f'the labels{of_site}')}"


def empty_classes(rows: Sequence[Row], further: Iterable[Row], wanted: Wanted, of_site: str = "") -> tuple[str, ...]:
    """Return a line per class that no row is in: its definition, what the columns have, and what to correct.

    A site that has only controls may take part, but a mistyped word looks the same.

    Args:
        rows: All rows of a site's tables.
        further: Rows of people whose sessions have rows of their own; they count only as members of a class.
        wanted: What the model is to predict, and of which rows.
        of_site: See `nobody_usable`.
    """
    truth = wanted.truth if isinstance(wanted, Included) else wanted
    if isinstance(truth, NumberColumn):
        return ()
    present = {label for row in (*rows, *further) if isinstance(label := wanted.label(row), int)}
    lines = []
    for index, (name, definition) in enumerate(truth.classes.items()):
        if index in present:
            continue
        comparisons = truth.expressions[index].comparisons
        columns = dict.fromkeys(comparison.column for comparison in comparisons)
        found = "; ".join(_values(rows, column) for column in columns)
        words = definition if isinstance(definition, str) else ", ".join(definition)
        correct = _suggestion(rows, comparisons, f"the labels{of_site}, unless the site has no such people")
        lines.append(f"nobody meets labels.{name}{of_site}: {words}; {found}{correct}")
    return tuple(lines)


def _values(rows: Iterable[Row], column: str) -> str:
    """List the values of a column with their counts, or give their number where there are many."""
    counts = Counter(value for row in rows if (value := row.get(column)) is not None)
    if not counts:
        return f"the column {column} is empty"
    if len(counts) > LONGEST_LIST:
        return f"the column {column} has {len(counts)} different values, such as {min(counts)} and {max(counts)}"
    return f"the column {column} has {', '.join(f'{value} ({counts[value]})' for value in sorted(counts))}"


def _suggestion(rows: Sequence[Row], comparisons: Iterable[Comparison], what: str) -> str:
    """Return the values that words that no row has were meant to be, else what to correct."""
    for comparison in comparisons:
        present = {value for row in rows if (value := row.get(comparison.column)) is not None}
        if comparison.sign != "==" or not isinstance(comparison.value, str) or comparison.value in present:
            continue
        if hint := did_you_mean(comparison.value, sorted(present), min_similarity=0.75):
            return f"{hint.replace(',', ';', 1)} Correct {what}"
    return f"; correct {what}"
