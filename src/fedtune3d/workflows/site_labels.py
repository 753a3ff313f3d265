"""The labels that `init` writes under a site whose diagnoses are in another column than those of other sites."""

import re
from collections.abc import Mapping, Sequence

import yaml

from fedtune3d.cohorts.records import DIAGNOSIS
from fedtune3d.evaluation.outcome import NEGATIVE, POSITIVE
from fedtune3d.workflows.outcome_lines import FILL_IN, MISSING, fill_in, one_of_expression

OWN_LABELS = (
    "\n# A site's own labels, above, take the place of these lists there; these name the classes. Change both alike."
)

SiteLabels = Mapping[str, str]
"""Class → label expression of a site."""


def labels_of(outcome: str, columns: Sequence[str], by_site: Sequence[Mapping[str, int]]) -> list[SiteLabels | None]:
    """Return the labels of each site whose diagnoses are in another column, with its own words where it has any.

    A site that has no word of any class, such as one with 0 and 1, gets `FILL_IN` for each of them.

    Args:
        outcome: The lines of the experiment's labels.
        columns: The column of each site.
        by_site: The diagnoses of each site.
    """
    written: dict[str, list[str] | None] = yaml.safe_load(outcome)["labels"]
    lists = {name: words or [] for name, words in written.items()}
    return [
        None if column == DIAGNOSIS else _site_labels(column, lists, [word for word in present if word != MISSING])
        for column, present in zip(columns, by_site, strict=True)
    ]


def _site_labels(column: str, lists: Mapping[str, Sequence[str]], present: Sequence[str]) -> SiteLabels:
    has_word = any(word in present for words in lists.values() for word in words)
    places = {POSITIVE: -1, NEGATIVE: 0}
    labels = {}
    for index, (name, words) in enumerate(lists.items()):
        own = [word for word in words if word in present] or (words if has_word else [])
        example = fill_in(column, sorted(present), places.get(name, index))
        labels[name] = one_of_expression(column, own) if own else example
    return labels


def as_comments(text: str) -> str:
    """Remove the quotes around `FILL_IN`, so that YAML takes it for a comment."""
    return re.sub(f"'({FILL_IN}.*)'$", lambda match: match[1].replace("''", "'"), text, flags=re.MULTILINE)
