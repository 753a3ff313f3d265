"""People with test scans at several sites: how many there are in all, and how far the sites' AUCs go together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

ByClass = tuple[int, ...]
"""Numbers of each class, in the order of labels."""


@dataclass(frozen=True)
class Overlap:
    """The groups (usually people) in test sets that other sites may have, too.

    Attributes:
        groups: Site → pseudonym of each such group → its test scans of each class.
    """

    groups: Mapping[str, Mapping[str, ByClass]] = field(default_factory=dict)

    def people(self, participants: Mapping[str, int]) -> int:
        """Count the distinct people over all test sets, given each site's number of people; 0 where it is held back."""
        declared = {site: self.groups.get(site, {}).keys() for site, count in participants.items() if count}
        own = sum(max(0, participants[site] - len(groups)) for site, groups in declared.items())
        return own + len({group for groups in declared.values() for group in groups})

    def correlation(self, first: str, second: str, people: Mapping[str, ByClass]) -> float:
        """Bound the correlation of two sites' AUCs: the greatest of the classes' shared / √(n₁ n₂) people.

        It is that of two means whose shared people have equal values, as if a person's scans were copies.

        Args:
            first: A site.
            second: Another one.
            people: Site → its people of each class.
        """
        if first == second:
            return 1.0
        shared = self._shared(first, second, len(people[first]))
        sizes = [math.sqrt(ours * theirs) for ours, theirs in zip(people[first], people[second], strict=True)]
        return max(min(1.0, count / size) if size else 0.0 for count, size in zip(shared, sizes, strict=True))

    def _shared(self, first: str, second: str, classes: int) -> ByClass:
        ours, theirs = self.groups.get(first, {}), self.groups.get(second, {})
        both = ours.keys() & theirs.keys()
        return tuple(
            sum(bool(ours[group][label] and theirs[group][label]) for group in both) for label in range(classes)
        )


NOBODY_SHARED = Overlap()
