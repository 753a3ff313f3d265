"""Cross-validation: the people of all sites dealt into folds, each of which is the test set of a run of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.cohorts.class_cover import ClassCounts
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.splits import TEST, assign_splits, classes_of, count_groups, deal, label_of


@dataclass(frozen=True, order=True)
class Fold:
    """A fold of a cross-validation.

    Attributes:
        repeat: Number of the repeat, from 1; in each, everybody is dealt again.
        number: Number of the fold in its repeat, from 1.
        folds: Number of folds in a repeat.
    """

    repeat: int
    number: int
    folds: int

    @property
    def name(self) -> str:
        """The name, such as ``repeat1-fold3``."""
        return f"repeat{self.repeat}-fold{self.number}"


def deal_folds(
    groups: Mapping[str, ClassCounts],
    seed: int,
    scope: str,
    fold: Fold,
    sites: Sequence[Mapping[str, ClassCounts]] | None = None,
) -> dict[str, int]:
    """Deal groups into the folds of a repeat, stratified by class. Returns group → number of its fold, from 1.

    The folds' numbers of groups differ by at most one, in each class and in all; groups with many scans are distributed
    as in `assign_splits`. Everything is drawn from the seed, the scope and the repeat.

    Args:
        groups: Group → scans of each class, in any order; see `splits.count_groups`.
        seed: The experiment's seed.
        scope: The site's name, or ``shared`` for groups that several sites declare.
        fold: Any fold of the repeat.
        sites: Each site's own counts of these groups, over which they are stratified, too; None if they are of one.
    """
    causes = ("folds", seed, scope, fold.repeat)
    classes = classes_of(groups)
    strata: dict[tuple[str, ...], dict[str, int]] = {}
    for group in sorted(groups):
        held_by = [str(number) for number, site in enumerate(sites or ()) if group in site]
        strata.setdefault((classes[group], *held_by), {})[group] = sum(groups[group])
    dealt: dict[str, int] = {}
    first = int(numpy_rng(*causes).integers(fold.folds))
    for stratum, scans in sorted(strata.items()):
        in_order = [(first + step) % fold.folds + 1 for step in range(fold.folds)]
        each, more = divmod(len(scans), fold.folds)
        sizes = {number: each + (place < more) for place, number in enumerate(in_order)}
        dealt |= deal(scans, sizes, (*causes, *stratum))
        first += more
    return dealt


def assign_fold(
    groups: Mapping[str, ClassCounts],
    seed: int,
    scope: str,
    fractions: Sequence[float],
    fold: Fold,
    sites: Sequence[Mapping[str, ClassCounts]] | None = None,
    by_number: bool = False,
) -> dict[str, str]:
    """Assign the groups of a fold to test, and all others to training and validation; see `deal_folds`.

    Args:
        groups: As in `deal_folds`, as are `seed`, `scope` and `sites`.
        seed: The experiment's seed.
        scope: The site's name, or ``shared``.
        fractions: Shares of train, validation and test, of which only the ratio of the first two counts here.
        fold: The fold.
        sites: Each site's own counts.
        by_number: As in `assign_splits`.
    """
    dealt = deal_folds(groups, seed, scope, fold, sites)
    others = {group: counts for group, counts in groups.items() if dealt[group] != fold.number}
    sites_of_others = [{group: counts for group, counts in site.items() if group in others} for site in sites or ()]
    train, validation, _ = fractions
    share = train / (train + validation)
    scope, fractions = f"{scope}/{fold.name}", (share, 1 - share, 0.0)
    inner = assign_splits(others, seed, scope, fractions, sites_of_others or None, by_number)
    return dict(sorted((inner | dict.fromkeys(groups.keys() - others.keys(), TEST)).items()))


def require_enough_people(records: Iterable[ScanRecord], folds: int, site: str, names: Sequence[str]) -> None:
    """Check that every fold can get people of each class that a site has.

    Args:
        records: The scans of the site.
        folds: Number of folds; 0 without a cross-validation.
        site: The site's name.
        names: The classes, in the order of labels (`Outcome.strata`).

    Raises:
        InputError: If a class of the site has fewer people (groups) than there are folds.
    """
    labels = [label_of(counts) for counts in count_groups(records, len(names)).values()]
    for label, name in enumerate(names):
        if 0 < (people := labels.count(label)) < folds:
            which = "people" if len(names) == 1 else f"people of class {name}"
            raise InputError(
                f"validation.folds: expected at most {people}, the number of {which} at site {site}, got {folds}; "
                "lower validation.folds, or exclude the site"
            )
