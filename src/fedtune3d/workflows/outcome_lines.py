"""The lines of an experiment file that say what is predicted: two classes, named classes, or a number."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.label_expressions import as_number, quoted
from fedtune3d.cohorts.labels import ClassMapping
from fedtune3d.cohorts.records import DIAGNOSIS

MISSING = "n/a"
"""The key of people without a diagnosis, as `cohorts.reading.list_diagnoses` counts them."""

TWO_CLASSES = """\
# {comment}
labels:
  positive: {positive}
  negative: {negative}
"""

OF_LISTS = (
    'Diagnoses in neither list are excluded and counted. Instead of a list, write an expression: positive: "cdr >= 1"'
)
OF_COLUMN = "Diagnoses in neither class are excluded and counted. Join several expressions by or."

FILL_IN = "# fill in"
"""Stands where the user has to write a class."""

NAMED_CLASSES = """\
# One line per class, in the order of tables and figures. Diagnoses in no list are excluded and counted.
# A class may have several diagnoses (AD: [AD, Dementia]), or an expression on any columns (MCI: "cdr == 0.5").
labels:
{classes}"""

NUMBER = """\
# Everyone with a number in the column is included, whatever the diagnosis. To include only healthy people, for example,
# remove the # in front of the next line. A number outside the range stops the run, with file and row.
# include: {include}
target:
  column: {column}
  range: {limits}        # lowest and highest possible value: {source}
  unit: {unit}           # {unit_note}
  missing: leave_out     # or error. {missing}
"""


@dataclass(frozen=True)
class Scale:
    """A number with a known unit.

    Attributes:
        unit: The unit.
        limits: Lowest and highest possible value; None if there are none.
    """

    unit: str
    limits: tuple[float, float] | None = None


SCALES = {
    "age": Scale("years"),
    "mmse": Scale("points", (0, 30)),
    "moca": Scale("points", (0, 30)),
    "cdrsb": Scale("points", (0, 18)),
    "adas11": Scale("points", (0, 70)),
    "adas13": Scale("points", (0, 85)),
}
"""Column, in lower case and without signs between letters → what is known of it."""


def two_classes(
    positive: Sequence[str], negative: Sequence[str], column: str = DIAGNOSIS, unassigned: Sequence[str] = ()
) -> str:
    """Return the lines of an experiment file with two classes of diagnoses: expressions on any other column.

    A class without a diagnosis is left for the user to fill in, with one of the `unassigned` ones as an example.
    """
    comment = OF_LISTS if column == DIAGNOSIS else OF_COLUMN
    written = [
        _class(words, column) if words else fill_in(column, unassigned, place)
        for words, place in ((positive, -1), (negative, 0))
    ]
    return TWO_CLASSES.format(comment=comment, positive=written[0], negative=written[1])


def one_of_expression(column: str, words: Sequence[str]) -> str:
    """Return the text of the label expression that a column has one of some words."""
    values = [word if as_number(word) is not None else quoted(word) for word in words]
    return " or ".join(f"{quoted(column)} == {value}" for value in values)


def fill_in(column: str, words: Sequence[str], place: int) -> str:
    """Return the comment that stands where the user has to write a class, with the word at a place as an example."""
    if not words:
        return FILL_IN
    example = words[max(-len(words), min(place, len(words) - 1))]
    return f"{FILL_IN}, such as {_class([example], column)}"


def named_classes(diagnoses: Sequence[str], counts: Mapping[str, int], column: str = DIAGNOSIS) -> str:
    """Return the lines of an experiment file with one class per diagnosis.

    Args:
        diagnoses: The diagnoses, in the order of the classes. A character that names of classes cannot have becomes
            ``-`` in the name.
        counts: Diagnosis → number of people, of all that the tables have.
        column: The column of diagnoses at all sites; the classes are expressions on any but ``diagnosis``.

    Raises:
        InputError: If there are fewer than two, or nobody has one of them.
    """
    if unknown := [diagnosis for diagnosis in diagnoses if diagnosis == MISSING or diagnosis not in counts]:
        raise InputError(
            f"--classes: nobody has the diagnosis {unknown[0]}; the tables have {listed(counts)}. Name some of these"
        )
    names = [re.sub(r"[^A-Za-z0-9 _.+-]", "-", diagnosis).lstrip(" _.+-")[:40] for diagnosis in diagnoses]
    if len(set(names)) < len(names) or "" in names:
        raise InputError(
            f"--classes: {', '.join(diagnoses)} do not give each class a name of its own; name other diagnoses, or "
            "write the labels by hand (docs/outcomes.md)"
        )
    classes: dict[str, tuple[str, ...] | str] = {
        name: (diagnosis,) for name, diagnosis in zip(names, diagnoses, strict=True)
    }
    try:
        ClassMapping(classes)
    except InputError as error:
        raise InputError(f"--classes: {error}") from error
    lines = [f"  {_scalar(name)}: {_class(wanted, column)}\n" for name, wanted in classes.items()]
    return NAMED_CLASSES.format(classes="".join(lines))


def number(column: str, values: Sequence[float | None], controls: Sequence[str] = ()) -> str:
    """Return the lines of an experiment file that predicts a number.

    The range is that of the scale, if it is known, or that of the values rounded outwards, which tells no person's
    number to whoever reads the file.

    Args:
        column: The column of the tables.
        values: Its number in each row; None where it is missing.
        controls: The diagnoses of healthy people, for the line that would include nobody else.

    Raises:
        InputError: If no row has a number.
    """
    known = [value for value in values if value is not None]
    if not known:
        raise InputError(f"--target: no row has a number in the column {column}; name another column")
    scale = SCALES.get(re.sub("[^a-z0-9]", "", column.lower()))
    limits = scale.limits if scale else None
    source = "the ends of its scale"
    if limits is None:
        limits, source = _rounded_outwards(min(known), max(known)), "the values found, rounded outwards"
    elif outside := sum(not limits[0] <= value <= limits[1] for value in known):
        source += f"; outside it are {outside} of {len(values)} rows: correct them, or the range"
    without = len(values) - len(known)
    return NUMBER.format(
        column=_scalar(column),
        limits=f"[{limits[0]:g}, {limits[1]:g}]",
        source=source,
        unit=scale.unit if scale else '""',
        unit_note="shown with every number" if scale else "not known; write it here, such as years",
        include=_scalar(" or ".join(f"diagnosis == {quoted(control)}" for control in controls or ("CN",))),
        missing=f"{without} of {len(values)} rows have no number: their scans are excluded and counted",
    )


def listed(counts: Mapping[str, int]) -> str:
    """List diagnoses with their numbers of people, by name: `AD (24), CN (30)`."""
    return ", ".join(f"{diagnosis} ({count})" for diagnosis, count in sorted(counts.items()))


def _class(words: Sequence[str], column: str) -> str:
    return _inline(words) if column == DIAGNOSIS else _scalar(one_of_expression(column, words))


def _rounded_outwards(low: float, high: float) -> tuple[float, float]:
    step = 10.0 ** math.floor(math.log10(high - low)) if high > low else 1.0
    start, end = math.floor(low / step) * step, math.ceil(high / step) * step
    return start, end if end > start else start + step


def _inline(words: Sequence[str]) -> str:
    return yaml.safe_dump(list(words), default_flow_style=True, allow_unicode=True, width=10_000).strip()


def _scalar(word: str) -> str:
    """Quote a word where YAML needs it."""
    return _inline([word])[1:-1]
