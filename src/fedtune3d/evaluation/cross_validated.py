"""A measure in a cross-validation: its value in each fold, their mean, and their spread over folds and repeats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fedtune3d.evaluation.estimate import Estimate

CORRECTED = "corrected for shared training people (Nadeau and Bengio 2003)"


class FoldNumber(NamedTuple):
    """The repeat and the fold in it, both from 1."""

    repeat: int
    fold: int


@dataclass(frozen=True)
class FoldValue:
    """The value of a measure on the test scans of a fold, at one site or averaged over sites.

    Attributes:
        repeat: Number of the repeat, from 1.
        fold: Number of the fold in it, from 1.
        value: None if the measure is undefined there.
    """

    repeat: int
    fold: int
    value: float | None


@dataclass(frozen=True)
class CrossValidated:
    """The mean of a measure's values within folds, with its interval, and their spread.

    Attributes:
        estimate: The mean with its 95% CI; undefined until all folds are finished.
        folds: The value of each fold that is finished, by repeat and fold.
        sd_folds: Standard deviation (n − 1) over the folds of a repeat, root mean square over repeats; None if no
            repeat has two values.
        sd_repeats: Standard deviation (n − 1) of the repeats' means; None with one repeat.
    """

    estimate: Estimate
    folds: tuple[FoldValue, ...]
    sd_folds: float | None
    sd_repeats: float | None

    @property
    def values(self) -> list[float]:
        """The values of the folds that have one."""
        return [fold.value for fold in self.folds if fold.value is not None]


@dataclass(frozen=True)
class CrossValidatedMeasure:
    """A measure at each site, and its mean over the sites that have it."""

    sites: Mapping[str, CrossValidated]
    mean: CrossValidated


def all_folds(folds: int, repeats: int) -> list[FoldNumber]:
    """Return all folds of all repeats, in order."""
    return [FoldNumber(repeat, fold) for repeat in range(1, repeats + 1) for fold in range(1, folds + 1)]


def with_spread(sites: Mapping[str, Sequence[FoldValue]], estimate: Estimate) -> CrossValidated:
    """Return an estimate over sites with the value of each fold, the mean over the sites that have one, and its spread.

    Args:
        sites: Site → its folds.
        estimate: The mean of a measure over these sites and folds.
    """
    shown = _mean_over_sites(sites)
    by_repeat: dict[int, list[float]] = {}
    for fold in shown:
        if fold.value is not None:
            by_repeat.setdefault(fold.repeat, []).append(fold.value)
    spreads = [float(np.var(values, ddof=1)) for values in by_repeat.values() if len(values) > 1]
    means = [math.fsum(values) / len(values) for values in by_repeat.values()]
    return CrossValidated(
        estimate=estimate,
        folds=tuple(shown),
        sd_folds=math.sqrt(math.fsum(spreads) / len(spreads)) if spreads else None,
        sd_repeats=float(np.std(means, ddof=1)) if len(means) > 1 else None,
    )


def inflation(folds: int, repeats: int) -> float:
    """Return 1/R + K/(K − 1): the factor of the variance that K folds of R repeats have, given the models.

    Nadeau and Bengio's corrected resampled variance is (1/J + n_test/n_train) σ², with J = K R folds, n_test/n_train =
    1/(K − 1), and σ² the variance of one fold, here that of its test people: K times that of the mean over a repeat.

    References:
        Nadeau and Bengio, 2003, Machine Learning 52:239–281, section 3.
    """
    return 1 / repeats + folds / (folds - 1)


def inflation_of(numbers: Sequence[FoldNumber]) -> float:
    """Return the `inflation` of all folds of all repeats among these."""
    return inflation(max(number.fold for number in numbers), max(number.repeat for number in numbers))


def _mean_over_sites(sites: Mapping[str, Sequence[FoldValue]]) -> list[FoldValue]:
    """Each fold with the mean over the sites that have a value; the folds themselves if there is one site."""
    if len(sites) == 1:
        return list(next(iter(sites.values())))
    by_fold: dict[FoldNumber, list[float]] = {}
    for folds in sites.values():
        for fold in folds:
            known = by_fold.setdefault(FoldNumber(fold.repeat, fold.fold), [])
            known += [] if fold.value is None else [fold.value]
    return [
        FoldValue(*number, math.fsum(known) / len(known) if known else None)
        for number, known in sorted(by_fold.items())
    ]
