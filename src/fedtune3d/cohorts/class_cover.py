"""Every class in every split of every site: groups change their splits until no class is missing needlessly."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

ClassCounts = tuple[int, ...]
"""Scans of each class."""
Splits = Mapping[str, str]
"""Group → its split."""
MAX_STEPS = 1000


class ClassCover:
    """The classes that splits of sites lack although there are groups for them, and how to mend that.

    A class of two groups at a site can only be in two of three splits there: the first ones in the filling order. A
    split that comes earlier in that order outweighs all later ones.

    Args:
        sites: Per site, group → scans of each class.
        filling_order: The splits with a positive fraction, the most important one first.
    """

    def __init__(self, sites: Sequence[Mapping[str, ClassCounts]], filling_order: Sequence[str]) -> None:
        self.filling_order = filling_order
        self.cells = [
            [group for group, counts in site.items() if counts[label]]
            for site in sites
            for label in range(len(next(iter(site.values()), ())))
        ]
        self.cells_of: dict[str, list[int]] = {}
        for cell, groups in enumerate(self.cells):
            for group in groups:
                self.cells_of.setdefault(group, []).append(cell)

    def lack(self, splits: Splits) -> int:
        """How much is missing that could be there; 0 if every class is in as many splits as it can be."""
        return sum(self._lack(cell, splits) for cell in range(len(self.cells)))

    def mend(self, splits: Splits, classes: Mapping[str, str], rng: np.random.Generator) -> dict[str, str]:
        """Return the splits after the changes that reduce the lack, until none does.

        Two groups of one class exchange their splits, which leaves the sizes of the splits as they are. Where no
        exchange helps, a group is moved.

        Args:
            splits: Group → split.
            classes: Group → its class.
            rng: Decides between changes.
        """
        mended = dict(splits)
        for _ in range(MAX_STEPS):
            change = next((change for change in self._changes(mended, classes, rng) if self._helps(change, mended)), {})
            if not change:
                break
            mended.update(change)
        return mended

    def _lack(self, cell: int, splits: Splits) -> int:
        present = {splits[group] for group in self.cells[cell]}
        return self._weight(present) - self._weight(set(self.filling_order[: len(self.cells[cell])]))

    def _weight(self, present: set[str]) -> int:
        """The weight of the splits that are not present: 1 for the last one, 2 for that before it, and so on."""
        return sum(1 << rank for rank, split in enumerate(reversed(self.filling_order)) if split not in present)

    def _changes(self, splits: Splits, classes: Mapping[str, str], rng: np.random.Generator) -> Iterator[Splits]:
        """The changes of the groups of a cell that lacks a split: exchanges first."""
        lacking = [cell for cell in range(len(self.cells)) if self._lack(cell, splits)]
        groups = [str(group) for group in rng.permutation(sorted(splits))]
        own = {group for cell in lacking for group in self.cells[cell]}
        for first in groups:
            for second in groups:
                if first in own and splits[first] != splits[second] and classes[first] == classes[second]:
                    yield {first: splits[second], second: splits[first]}
        for group in groups:
            if group in own:
                yield from ({group: split} for split in self.filling_order if split != splits[group])

    def _helps(self, change: Splits, splits: dict[str, str]) -> bool:
        after: Splits = ChainMap(dict(change), splits)
        cells = {cell for group in change for cell in self.cells_of.get(group, ())}
        return sum(self._lack(cell, after) - self._lack(cell, splits) for cell in cells) < 0
