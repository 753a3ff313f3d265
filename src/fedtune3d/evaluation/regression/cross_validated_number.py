"""Cross-validated measures of predicted numbers: the mean within folds, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedtune3d.evaluation.cross_validated import (
    CORRECTED,
    CrossValidated,
    FoldNumber,
    FoldValue,
    inflation_of,
    with_spread,
)
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.measure import Measure, few_people, sum_of_independent
from fedtune3d.evaluation.regression.measures import SCALES, Name
from fedtune3d.evaluation.regression.variances import FEWEST_PEOPLE

METHOD = f"mean within folds from the folds' variances, {CORRECTED}, degrees of freedom of Satterthwaite (1946)"
"""Of the intervals; docs/evaluation.md says what they cover."""


@dataclass(frozen=True)
class FoldMeasure:
    """A measure of a fold's test scans at a site.

    Attributes:
        repeat: Number of the repeat, from 1.
        fold: Number of the fold in it, from 1.
        people: Number of people tested.
        measure: Its value with the variance, given the model; None if it is undefined.
    """

    repeat: int
    fold: int
    people: int
    measure: Measure | None


def cross_validated_number(name: Name, sites: Mapping[str, Sequence[FoldMeasure]], missing: str = "") -> CrossValidated:
    """Average a measure within folds, of one site or over several: the plain mean over sites of their means over folds.

    Given the models, the variance of a site's mean over the J folds of R repeats is R Σ Vᵢ / J², as of an AUC
    (`cross_validated_auc`), with the degrees of freedom that the folds of one repeat have, on average over repeats.
    Sites are independent. The `inflation` for the chance of training follows. The interval is Student's on the
    measure's scale: the logarithm of an error, and of 1 − R².

    Args:
        name: The measure.
        sites: Site → its folds.
        missing: Why there is no estimate yet; empty if there is one.

    References:
        Satterthwaite, 1946, Biometrics Bull. 2:110–114.
    """
    values = {
        site: [
            FoldValue(fold.repeat, fold.fold, None if fold.measure is None else fold.measure.value) for fold in folds
        ]
        for site, folds in sites.items()
    }
    return with_spread(values, undefined(missing) if missing else _estimate(name, sites))


def _estimate(name: Name, sites: Mapping[str, Sequence[FoldMeasure]]) -> Estimate:
    with_measure = {site: [fold for fold in folds if fold.measure is not None] for site, folds in sites.items()}
    known = [folds for folds in with_measure.values() if folds]
    if not known:
        vary = f"{FEWEST_PEOPLE} people or more whose numbers vary" if name == "r_squared" else "2 people or more"
        return undefined(f"no fold has test scans of {vary}")
    factor = inflation_of([FoldNumber(fold.repeat, fold.fold) for folds in sites.values() for fold in folds])
    mean = sum_of_independent([_mean_of(folds) for folds in known], 1 / len(known))
    corrected = Measure(mean.value, factor * mean.variance, mean.degrees)
    few = any(few_people(sum(fold.people for fold in folds if fold.repeat == folds[0].repeat)) for folds in known)
    return corrected.estimate(SCALES[name], METHOD, few)


def _mean_of(folds: Sequence[FoldMeasure]) -> Measure:
    """The mean over a site's folds, with its variance given the models."""
    repeats = len({fold.repeat for fold in folds})
    total = sum_of_independent([fold.measure for fold in folds if fold.measure is not None], 1 / len(folds))
    return Measure(total.value, repeats * total.variance, max(1.0, total.degrees / repeats))
