"""Shortcuts to the label: whether age or the site alone predicts it."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fedtune3d.evaluation.auc import auc_from_counts
from fedtune3d.evaluation.auc_interval import newcombe
from fedtune3d.evaluation.outcome import BINARY
from fedtune3d.federation.tasks.describe_people import PeopleDescription

SHORTCUT_MARGIN = 0.1
"""A variable counts as predicting the label if the 95% CI of its AUC is entirely further than this from 0.5."""


def find_shortcuts(described: Mapping[str, PeopleDescription], classes: Sequence[str] = BINARY.strata) -> list[str]:
    """Warn if age or the site alone predicts the label, given the descriptions of all sites' people.

    What could not be tested, because a site holds its numbers back or knows no ages, is a warning, too. Age is tested
    for two classes only; the site for each class against the others. For a number, nothing is tested.

    Args:
        described: Site → the description of its people, in the order of the sites in the warnings.
        classes: The names of the classes, in the order of labels; one where a number is predicted.
    """
    if len(classes) < 2:
        return []
    return [*(_by_age(described) if len(classes) == 2 else ()), *_by_site(described, classes)]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _by_age(described: Mapping[str, PeopleDescription]) -> Iterator[str]:
    unknown: dict[str, list[str]] = defaultdict(list)
    for site, people in described.items():
        if people.age_auc.limits is None:
            unknown[people.age_auc.undefined or ""].append(site)
            continue
        value, low, high = people.age_auc.limits
        if _predicts_label(low, high):
            yield (
                f"{site}: age alone predicts the label, AUC {value:.2f} [{low:.2f}, {high:.2f}]; "
                "match the classes by age, or report an age-only model alongside"
            )
    for why, sites in unknown.items():
        yield f"age alone was not tested as a predictor of the label at {_listed(sites)}: {why}"


def _by_site(described: Mapping[str, PeopleDescription], classes: Sequence[str]) -> Iterator[str]:
    counts = {site: _people_by_class(people, len(classes)) for site, people in described.items()}
    known = {site: people for site, people in counts.items() if people is not None and any(people)}
    looked_at = range(1, 2) if len(classes) == 2 else range(len(classes))
    for label in looked_at if len(known) > 1 else ():
        auc, low, high = site_auc([(sum(people) - people[label], people[label]) for people in known.values()])
        if _predicts_label(low, high):
            shares = ", ".join(f"{site} {100 * people[label] / sum(people):.0f}%" for site, people in known.items())
            yield (
                f"the site alone predicts the label, AUC {auc:.2f} [{low:.2f}, {high:.2f}], Cramér's V "
                f"{cramers_v(list(known.values())):.2f}; {classes[label]}: {shares}"
            )
    hidden = [site for site, people in counts.items() if people is None]
    if hidden and len(counts) > 1:
        yield (
            f"the site alone was not tested as a predictor of the label at {_listed(hidden)}: the counts per class are "
            "held back there (policy.min_people, policy.min_per_class)"
        )


def _predicts_label(low: float, high: float) -> bool:
    return bool(low > 0.5 + SHORTCUT_MARGIN or high < 0.5 - SHORTCUT_MARGIN)


def _people_by_class(description: PeopleDescription, classes: int) -> tuple[int, ...] | None:
    """Return a site's numbers of people of each class; None if one of them is suppressed."""
    everyone = description.splits.get("all")
    if everyone is None or len(everyone.classes) != classes:
        return None
    people = tuple(part.people for part in everyone.classes if part.people is not None)
    return people if len(people) == classes else None


def site_auc(counts: Sequence[tuple[int, int]]) -> tuple[float, float, float]:
    """Compute the AUC of the site as a predictor, each person's score being the site's share of positives.

    Args:
        counts: (negatives, positives) of each site.

    Returns:
        AUC and its 95% CI (Newcombe); 0.5 and (0, 1) if all people are of one class.
    """
    ordered = sorted((pair for pair in counts if sum(pair)), key=lambda pair: pair[1] / sum(pair))
    negatives, positives = (np.array([pair[label] for pair in ordered]) for label in (0, 1))
    if not negatives.sum() or not positives.sum():
        return 0.5, 0.0, 1.0
    auc = float(auc_from_counts(negatives, positives))
    return (auc, *newcombe(auc, int(negatives.sum()), int(positives.sum())))


def cramers_v(counts: Sequence[tuple[int, ...]]) -> float:
    """Compute the bias-corrected Cramér's V of site and label.

    References:
        Bergsma, 2013, J. Korean Stat. Soc. 42:323–328.
    """
    table = np.array([pair for pair in counts if sum(pair)], dtype=float)
    table = table[:, table.sum(axis=0) > 0]
    n, (rows, columns) = table.sum(), table.shape
    if min(rows, columns) < 2:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    phi2 = max(0.0, float(((table - expected) ** 2 / expected).sum() / n) - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(size - (size - 1) ** 2 / (n - 1) for size in (rows, columns)) - 1
    return math.sqrt(phi2 / smaller)
