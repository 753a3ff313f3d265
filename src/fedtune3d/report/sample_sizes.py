"""Sample sizes next to results: people and scans per class, and prevalences."""

from collections.abc import Iterable, Mapping, Sequence

from fedtune3d.evaluation.metrics import TestMetrics
from fedtune3d.evaluation.multiclass.metrics import ClassTestMetrics
from fedtune3d.evaluation.outcome import in_shown_order
from fedtune3d.evaluation.regression.metrics import NumberTestMetrics

AnyTestMetrics = TestMetrics | ClassTestMetrics | NumberTestMetrics
NONE = "–"
"""Shown where a site has no test scans, or too few for its policy to let their number leave."""


def people_by_class(test: TestMetrics) -> str:
    """Return the people with positive and with negative test scans: `11 + 14`."""
    negatives, positives = test.participants_by_class
    return _by_class(negatives, positives)


def scans_by_class(test: TestMetrics) -> str:
    """Return the positive and negative test scans: `11 + 14`."""
    return _by_class(test.negatives, test.positives)


def scans_differ(tests: Iterable[TestMetrics]) -> bool:
    """Return whether any of these test sets has other numbers of scans than of people."""
    return any(scans_by_class(test) != people_by_class(test) for test in tests)


def total_over_seeds(seeds: Iterable[Mapping[str, AnyTestMetrics]]) -> str:
    """Return the people per class in the test sets of all sites, over seeds: `44 + 52`, as ranges where they differ.

    Classes are in shown order. Where a number is predicted, all people are counted together.

    Args:
        seeds: For each seed, site → its test set.
    """
    return _ranges([tuple(map(sum, zip(*map(people_in_each, sites.values()), strict=True))) for sites in seeds])


def people_over_seeds(tests: Iterable[AnyTestMetrics]) -> str:
    """Return the people per class in the test sets of several seeds: `11 + 14`, or `10–12 + 14` where they differ."""
    return _ranges([people_in_each(test) for test in tests if test.scans])


def percentage(share: float) -> str:
    """Format a prevalence: `5%`, `43.9%`."""
    return f"{100 * share:.3g}%"


def _by_class(negatives: int, positives: int) -> str:
    return f"{positives} + {negatives}" if negatives or positives else NONE


def people_in_each(test: AnyTestMetrics) -> tuple[int, ...]:
    """Return the people of each class, in the order of labels; of a number all together."""
    if isinstance(test, ClassTestMetrics):
        return tuple(part.people for part in test.of_class)
    return (test.participants,) if isinstance(test, NumberTestMetrics) else test.participants_by_class


def _ranges(counts: Sequence[tuple[int, ...]]) -> str:
    """Format the people of each class in several test sets, in shown order."""
    return " + ".join(map(_range, in_shown_order(zip(*counts, strict=True)))) or NONE


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low}–{high}"
