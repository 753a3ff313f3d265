"""Numbers by group of people (sex, age band, scanner, site) and how far each group is from the rest.

A site tells counts of a group only where enough people of each class are in it, and never so that a small group could
be had by subtracting the others from the whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedtune3d.evaluation.auc import NEWCOMBE, auc_from_counts
from fedtune3d.evaluation.classification import operating_point
from fedtune3d.evaluation.delong import delong_from_counts
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.grid import from_sparse, grid_counts, to_sparse
from fedtune3d.evaluation.intervals import difference_interval, newcombe
from fedtune3d.evaluation.predictions import Predictions, participants_by_class
from fedtune3d.evaluation.sample import FROM_COUNTS

AGE_BANDS = ((60, "under 60"), (70, "60–69"), (80, "70–79"))
OLDEST = "80 and over"
UNKNOWN = "unknown"
MEASURES = ("auc", "sensitivity", "specificity")

Axes = Mapping[str, Sequence[str]]
"""Axis, such as ``sex``, → the group of each scan of a split."""


def age_band(age: float | None) -> str:
    """``under 60``, ``60–69``, ``70–79``, ``80 and over`` or ``unknown``, from years."""
    if age is None:
        return UNKNOWN
    return next((name for limit, name in AGE_BANDS if age < limit), OLDEST)


def summarise_groups(test: Predictions, axes: Axes, least: int) -> dict[str, Any]:
    """What a site tells of its groups, as JSON: axis → group → counts, and how many groups were held back.

    Args:
        test: The test scans.
        axes: The group of each scan, by axis.
        least: The fewest people of either class in a group that is told. Where the groups held back hold fewer than
            that together, the smallest other group is held back, too.
    """
    return {axis: _summarise_axis(test, np.array(names, dtype=str), least) for axis, names in axes.items()}


def _summarise_axis(test: Predictions, names: np.ndarray, least: int) -> dict[str, Any]:
    if set(names) <= {UNKNOWN}:
        return {"told": {}, "held_back": 0}
    parts = {str(name): _rows(test, names == name) for name in np.unique(names)}
    people = {name: participants_by_class(part) for name, part in parts.items()}
    told = sorted((name for name in parts if min(people[name]) >= least), key=lambda name: sum(people[name]))
    held_back = [name for name in parts if name not in told]
    while held_back and told and min(np.sum([people[name] for name in held_back], axis=0)) < least:
        held_back.append(told.pop(0))
    return {"told": {name: _tell(parts[name], people[name]) for name in sorted(told)}, "held_back": len(held_back)}


def _rows(test: Predictions, chosen: np.ndarray) -> Predictions:
    rows = np.flatnonzero(chosen)
    return Predictions(
        tuple(test.participants[row] for row in rows),
        tuple(test.sessions[row] for row in rows),
        test.labels[rows],
        test.probabilities[rows],
    )


def _tell(part: Predictions, people: tuple[int, int]) -> dict[str, Any]:
    negative, positive = (to_sparse(grid_counts(part.probabilities[part.labels == label])) for label in (0, 1))
    return {"participants_by_class": list(people), "counts": {"negative": negative, "positive": positive}}


def combine_groups(told: Sequence[Mapping[str, Any]], threshold: float | None) -> dict[str, dict[str, Any]]:
    """Each group over the sites that told of it, and its gap to all other such groups together.

    Args:
        told: One axis of `summarise_groups`, of each site.
        threshold: For sensitivity and specificity.

    Returns:
        Group → ``participants_by_class``, ``scans``, and for each of `MEASURES` an estimate and, under ``gaps``, the
        difference to the rest. Intervals of an AUC are DeLong's, with few people or an AUC of 0 or 1 Newcombe's; those
        of a gap follow from those of its two sides (MOVER).
    """
    counts: dict[str, np.ndarray] = {}
    people: dict[str, np.ndarray] = {}
    for site in told:
        for name, part in site["told"].items():
            here = np.stack([from_sparse(part["counts"][label]) for label in ("negative", "positive")])
            counts[name] = counts.get(name, 0) + here
            people[name] = people.get(name, 0) + np.array(part["participants_by_class"])
    return gaps(counts, people, threshold)


def gaps(
    counts: Mapping[str, np.ndarray],
    people: Mapping[str, np.ndarray],
    threshold: float | None,
    finest: Mapping[str, np.ndarray] | None = None,
    source: str = FROM_COUNTS,
) -> dict[str, dict[str, Any]]:
    """As `combine_groups`, from the (2, BINS) counts and (2,) people of each group; the AUC from `finest` (2, bins)
    counts on another scale where these are known, which `source` names."""
    ranks = counts if finest is None else finest
    found = {}
    for name in sorted(counts):
        others = [other for other in counts if other != name]
        own = _measures(counts[name], ranks[name], people[name], threshold, source)
        if others:
            scans, ranked, persons = (np.sum([of[other] for other in others], axis=0) for of in (counts, ranks, people))
            rest = _measures(scans, ranked, persons, threshold, source)
            differences = {measure: _difference(own[measure], rest[measure]) for measure in MEASURES}
        else:
            differences = dict.fromkeys(MEASURES, undefined("no other group"))
        found[name] = {
            "participants_by_class": [int(count) for count in people[name]],
            "scans": int(counts[name].sum()),
            **own,
            "gaps": differences,
        }
    return found


def _measures(
    counts: np.ndarray, ranks: np.ndarray, people: np.ndarray, threshold: float | None, source: str
) -> dict[str, Estimate]:
    both = (int(people[0]), int(people[1]))
    point = operating_point(counts[0], counts[1], both, threshold)
    return {
        "auc": _auc(ranks, both, source),
        "sensitivity": point["sensitivity"],
        "specificity": point["specificity"],
    }


def _auc(counts: np.ndarray, people: tuple[int, int], source: str) -> Estimate:
    estimate = delong_from_counts(counts[0], counts[1], people, source)
    if not counts.any(axis=1).all() or (min(people) >= FEW and estimate["value"] is not None):
        return estimate
    value = auc_from_counts(counts[0], counts[1])
    return defined(float(value), newcombe(float(value), *people), f"{NEWCOMBE}; {source}", few=True)


def _difference(own: Estimate, rest: Estimate) -> Estimate:
    for side in (own, rest):
        if side["value"] is None:
            return undefined(str(side["undefined"]))
    first, second = ([float(side[key] or 0.0) for key in ("value", "low", "high")] for side in (own, rest))
    few = bool(own["mark"] or rest["mark"])
    return defined(first[0] - second[0], difference_interval(first, second), "difference, limits by MOVER", few)
