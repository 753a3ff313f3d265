"""The main measure of a combination over the trials of a study: over seeds, or over the folds of a cross-validation."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fedtune3d._utils.folders import RunFolder
from fedtune3d.config.study_axes import Draw
from fedtune3d.config.study_results import StudyResults
from fedtune3d.evaluation.cross_validated import CrossValidated, FoldNumber
from fedtune3d.evaluation.cross_validation import CrossValidatedMethod, cross_validated_methods, read_summaries
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.over_seeds import over_seeds as spread_of


@dataclass(frozen=True)
class StudyEstimate:
    """An estimate over trials: the mean of the values and of the limits of their intervals, and the spread.

    Attributes:
        estimate: The single seed's, or the means over several; of a cross-validated study, a seed's folds are combined
            first. Gives the reason if there is no value.
        sd: Standard deviation over trials (n − 1); None with one trial.
        values: Number of a trial → value, for the trials that have one.
    """

    estimate: Estimate
    sd: float | None
    values: Mapping[int, float]


def over_seeds(estimates: Mapping[int, Estimate], missing: str) -> StudyEstimate:
    """Average the estimates of seeds; `missing` says why there is none."""
    limits = {seed: estimate.limits for seed, estimate in estimates.items() if estimate.limits is not None}
    if not limits:
        reasons = [estimate.undefined or missing for estimate in estimates.values()]
        return StudyEstimate(undefined(reasons[0] if reasons else missing), None, {})
    values = {seed: value for seed, (value, _, _) in limits.items()}
    defined = [estimates[seed] for seed in limits]
    estimate = Estimate(
        value=statistics.fmean(values.values()),
        low=statistics.fmean(low for _, low, _ in limits.values()),
        high=statistics.fmean(high for _, _, high in limits.values()),
        method="; ".join(sorted({estimate.method for estimate in defined})),
        mark="few" if any(estimate.mark for estimate in defined) else None,
        undefined=None,
    )
    return StudyEstimate(estimate, spread_of(values).sd, values)


def over_folds(
    runs: Mapping[int, Path], results: StudyResults, method: str, missing: str
) -> tuple[dict[str, StudyEstimate], StudyEstimate]:
    """Combine the folds of a combination's trials: site → estimate, and that of the mean over sites.

    Args:
        runs: Number of each finished trial → its run folder.
        results: The record of the study, which says which fold of which seed a trial is.
        method: The method, such as ``federated``.
        missing: Why there is no estimate, if no trial is finished.

    Raises:
        InputError: If a summary is damaged or inconsistent.
    """
    draws = {number: results.draws[number] for number in runs}
    by_seed = {seed: _cross_validated(seed, runs, results, method) for seed in {draw.seed for draw in draws.values()}}
    sites = {
        site: _combine({seed: found.sites[site] for seed, found in by_seed.items()}, results, missing)
        for site in results.sites
    }
    return sites, _combine({seed: found.mean for seed, found in by_seed.items()}, results, missing)


def _cross_validated(seed: int, runs: Mapping[int, Path], results: StudyResults, method: str) -> CrossValidatedMethod:
    """Combine the folds of one seed."""
    expected = [_number(draw) for draw in results.draws.values() if draw.seed == seed]
    summaries = {}
    for number, path in runs.items():
        draw = results.draws[number]
        if (
            draw.seed == seed
            and (by_site := read_summaries(RunFolder(path), results.sites, results.outcome)) is not None
        ):
            summaries[_number(draw)] = {site: {method: sent[method]} for site, sent in by_site.items()}
    return cross_validated_methods(summaries, results.sites, expected)[method]


def _combine(by_seed: Mapping[int, CrossValidated], results: StudyResults, missing: str) -> StudyEstimate:
    """Average the cross-validated measure of the seeds, and keep every fold."""
    over = over_seeds({seed: found.estimate for seed, found in by_seed.items()}, missing)
    numbers = {(draw.seed, _number(draw)): number for number, draw in results.draws.items()}
    values = {
        numbers[seed, FoldNumber(fold.repeat, fold.fold)]: fold.value
        for seed, found in by_seed.items()
        for fold in found.folds
        if fold.value is not None
    }
    return replace(over, values=values, sd=spread_of(values).sd)


def _number(draw: Draw) -> FoldNumber:
    assert draw.fold is not None  # of a cross-validated study
    return FoldNumber(draw.fold.repeat, draw.fold.number)
