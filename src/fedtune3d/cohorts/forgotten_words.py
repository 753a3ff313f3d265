"""Refuse a site's own labels that exclude people whom the experiment's labels name by a word of the site's table."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.inclusion import Included, Wanted
from fedtune3d.cohorts.label_expressions import Row, as_number, parse_label_expression, quoted
from fedtune3d.cohorts.labels import Labels
from fedtune3d.cohorts.records import DIAGNOSIS, Unlabelled


def require_no_forgotten_word(path: Path, site: str, rows: Sequence[Row], wanted: Wanted, general: Labels) -> None:
    """Raise `InputError` if a class of the experiment has a word that the site's table has and its labels exclude.

    The experiment's labels name the classes in the report, which would then count people who took no part. A number is
    looked for only in the column of the experiment's labels, because it means something else in another.

    Args:
        path: The site's table.
        site: The site's name.
        rows: All rows of the site's tables.
        wanted: The site's own labels, and which rows are included.
        general: The experiment's labels, of which the site's own take the place.
    """
    own = wanted.truth if isinstance(wanted, Included) else wanted
    if not isinstance(own, Labels):
        return
    mentioned = {comparison.value for expression in own.expressions for comparison in expression.comparisons}
    included = [row for row in rows if not isinstance(wanted, Included) or wanted.expression.holds(row)]
    for name, definition in general.classes.items():
        for column, word in _words(definition):
            for own_column in own.columns:
                if word in mentioned or (own_column != column and as_number(word) is not None):
                    continue
                labels = [own.label(row) for row in included if row.get(own_column) == word]
                if labels and all(isinstance(one, Unlabelled) and one.reason == own.no_class for one in labels):
                    raise InputError(
                        f"{path}: the column {own_column} has {word} ({len(labels)}), which labels.{name} includes, "
                        f"but labels.{name} of site {site} does not, and decides there; write under labels of site "
                        f"{site}: {name}: {_with(own.classes.get(name, ()), own_column, word)}, or, to exclude these "
                        f"people at this site, {_excluding(wanted, own_column, word)}"
                    )


def _words(definition: tuple[str, ...] | str) -> Iterator[tuple[str, str]]:
    """Yield the words that a class is defined by, each with its column."""
    if not isinstance(definition, str):
        yield from ((DIAGNOSIS, word) for word in definition)
        return
    for comparison in parse_label_expression(definition).comparisons:
        if comparison.sign == "==" and isinstance(comparison.value, str):
            yield comparison.column, comparison.value


def _with(definition: tuple[str, ...] | str, column: str, word: str) -> str:
    if isinstance(definition, str):
        return f"'{definition} or {quoted(column)} == {quoted(word)}'"
    return f"[{', '.join((*definition, word))}]"


def _excluding(wanted: Wanted, column: str, word: str) -> str:
    comparison = f"{quoted(column)} != {quoted(word)}"
    return f"add to include: {comparison}" if isinstance(wanted, Included) else f"include: '{comparison}'"
