"""Sample sizes next to results: people and scans per class, and prevalences."""

from collections.abc import Iterable, Mapping, Sequence

from fedtune3d.evaluation.metrics import TestMetrics

NONE = "–"
"""Shown where a site has no test scans, or too few for its policy to let their number leave."""


def people_by_class(test: TestMetrics) -> str:
    """Return the people with positive and with negative test scans: `11 + 14`."""
    negatives, positives = test.participants_by_class
    return _by_class(negatives, positives)


def scans_by_class(test: TestMetrics) -> str:
    """Return the positive and negative test scans: `11 + 14`."""
    return _by_class(test.negatives, test.positives)


def total_over_seeds(seeds: Iterable[Mapping[str, TestMetrics]]) -> str:
    """Return the people per class in the test sets of all sites, over seeds: `44 + 52`, as ranges where they differ.

    Args:
        seeds: For each seed, site → its test set.
    """
    totals = [
        tuple(sum(test.participants_by_class[label] for test in sites.values()) for label in (0, 1)) for sites in seeds
    ]
    if not totals:
        return NONE
    negatives, positives = zip(*totals, strict=True)
    return f"{_range(positives)} + {_range(negatives)}"


def people_over_seeds(tests: Iterable[TestMetrics]) -> str:
    """Return the people per class in the test sets of several seeds: `11 + 14`, or `10–12 + 14` where they differ."""
    by_class = [test.participants_by_class for test in tests if test.scans]
    if not by_class:
        return NONE
    negatives, positives = zip(*by_class, strict=True)
    return f"{_range(positives)} + {_range(negatives)}"


def percentage(share: float) -> str:
    """Format a prevalence: `5%`, `43.9%`."""
    return f"{100 * share:.3g}%"


def _by_class(negatives: int, positives: int) -> str:
    return f"{positives} + {negatives}" if negatives or positives else NONE


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low}–{high}"
