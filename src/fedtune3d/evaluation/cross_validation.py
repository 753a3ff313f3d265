"""The results of a cross-validation: measures within folds, averaged, and what all predictions out of fold serve.

The target is the expected value of a measure of the training procedure at the size of a fold's training set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self, TypeVar, get_args

from fedtune3d._utils.folders import CrossValidationFolder, RunFolder
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.evaluation.any_outcome import AnySummary, read_summaries_of
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.cross_validated import CrossValidated, CrossValidatedMeasure, FoldNumber
from fedtune3d.evaluation.cross_validated_auc import FoldAuc, cross_validated_auc
from fedtune3d.evaluation.measure import Measure
from fedtune3d.evaluation.multiclass.checked_summary import CheckedClassSummary
from fedtune3d.evaluation.multiclass.summary import ClassSummary
from fedtune3d.evaluation.out_of_fold import OutOfFoldCalibration, calibrations_out_of_fold, residuals_out_of_fold
from fedtune3d.evaluation.outcome import BINARY, Outcome
from fedtune3d.evaluation.regression.checked_summary import CheckedNumberSummary
from fedtune3d.evaluation.regression.cross_validated_number import FoldMeasure, cross_validated_number
from fedtune3d.evaluation.regression.measures import Name, measures
from fedtune3d.evaluation.regression.residual_bins import ResidualBin
from fedtune3d.evaluation.regression.summary import NumberSummary
from fedtune3d.evaluation.summary import Summary

FoldSummaries = Mapping[FoldNumber, Mapping[str, Mapping[str, AnySummary]]]
"""Fold → site → method → the summary of the predictions of the fold's test scans, all of one outcome."""
MeasureName = Literal["auc", "macro_auc", "mae", "r_squared"]
MEASURES: tuple[MeasureName, ...] = get_args(MeasureName)
"""The measures averaged over folds, the main measure of an outcome before others: AUC; macro AUC; or MAE, then R²."""


@dataclass(frozen=True)
class CrossValidatedMethod:
    """The results of a method, such as ``federated``.

    Attributes:
        measures: The measures of the outcome: see `MEASURES`.
        calibration: Of two classes, site → calibration of its predictions out of fold, and ``Pooled`` → that of all
            sites'; empty until all folds are finished.
        residuals: Of a number, site and ``Pooled`` → its errors out of fold by range of the true number, likewise.
    """

    measures: Mapping[MeasureName, CrossValidatedMeasure]
    calibration: Mapping[str, OutOfFoldCalibration] = field(default_factory=dict)
    residuals: Mapping[str, tuple[ResidualBin, ...]] = field(default_factory=dict)

    @property
    def main(self) -> MeasureName:
        """The name of the main measure."""
        return min(self.measures, key=MEASURES.index)

    @property
    def sites(self) -> Mapping[str, CrossValidated]:
        """Site → its main measure."""
        return self.measures[self.main].sites

    @property
    def mean(self) -> CrossValidated:
        """The mean of the main measure over the sites that have it."""
        return self.measures[self.main].mean


@dataclass(frozen=True)
class CrossValidationResults:
    """The results of a cross-validation: the content of `cross_validation.json`.

    Attributes:
        version: Version of this format.
        experiment: The experiment's name.
        folds: Number of folds in a repeat.
        repeats: Number of repeats.
        sites: The sites, in the order of the experiment.
        faults: Name of a fold → why its run failed.
        methods: Method → its results; empty before the first fold is finished.
        outcome: What the models predict.
    """

    version: Literal[2]
    experiment: str
    folds: int
    repeats: int
    sites: tuple[str, ...]
    faults: Mapping[str, str]
    methods: Mapping[str, CrossValidatedMethod]
    outcome: Outcome = BINARY

    @classmethod
    def read(cls, folder: CrossValidationFolder) -> Self:
        """Read the results in a folder. Raises `InputError` if they are missing or damaged."""
        return read_typed(cls, folder.results, "`fedtune3d report` makes it again from the folds")


def read_summaries(
    run: RunFolder, sites: Sequence[str], outcome: Outcome
) -> dict[str, Mapping[str, AnySummary]] | None:
    """Read site → method → summary of a run; None before its end. Raises `InputError` if a file is damaged."""
    if not run.metrics.exists():
        return None
    paths = {site: run.summary(site) for site in sites if run.summary(site).exists()}
    return {site: read_summaries_of(path, outcome) for site, path in paths.items()}


def cross_validated_methods(
    summaries: FoldSummaries, sites: Sequence[str], expected: Sequence[FoldNumber]
) -> dict[str, CrossValidatedMethod]:
    """Combine the folds of a cross-validation, by method; a method that a fold lacks is left out.

    Args:
        summaries: The folds that are finished.
        sites: The sites.
        expected: All folds; with fewer of them, nothing is estimated.

    Raises:
        InputError: If a summary is inconsistent, with the site's name.
    """
    by_fold = [set().union(*by_site.values()) for by_site in summaries.values()]
    methods = sorted(set.intersection(*by_fold)) if by_fold else []
    return {method: _method(summaries, method, sites, expected) for method in methods}


def _method(
    summaries: FoldSummaries, method: str, sites: Sequence[str], expected: Sequence[FoldNumber]
) -> CrossValidatedMethod:
    sent = {
        number: {site: by_method[method] for site, by_method in by_site.items() if method in by_method}
        for number, by_site in sorted(summaries.items())
    }
    done = len(set(expected) & sent.keys())
    missing = "" if done == len(expected) else f"{done} of {len(expected)} folds are finished"
    first = next(summary for by_site in sent.values() for summary in by_site.values())
    if isinstance(first, ClassSummary):
        return _of_classes(sent, first.classes, sites, missing)
    if isinstance(first, NumberSummary):
        return _of_numbers(sent, first.limits, sites, missing)
    return _of_two(sent, sites, missing)


_Sent = Mapping[FoldNumber, Mapping[str, AnySummary]]
"""Fold → site → its summary of one method."""
OfKind = TypeVar("OfKind", Summary, ClassSummary, NumberSummary)
Checked = TypeVar("Checked")


def _checked(
    sent: _Sent, kind: type[OfKind], check: Callable[[str, OfKind], Checked]
) -> dict[FoldNumber, dict[str, Checked]]:
    """Check the summaries of all sites and folds, which are of one kind."""
    return {
        number: {site: check(site, part) for site, part in by_site.items() if isinstance(part, kind)}
        for number, by_site in sent.items()
    }


def _of_two(sent: _Sent, sites: Sequence[str], missing: str) -> CrossValidatedMethod:
    checked = _checked(sent, Summary, CheckedSummary.of)

    def fold_auc(number: FoldNumber, summary: CheckedSummary | None) -> FoldAuc:
        if summary is None or summary.test.auc.value is None:
            return FoldAuc(*number, None, None)
        return FoldAuc(*number, summary.test.auc.value, summary.auc_variance)

    by_site = {site: [fold_auc(number, parts.get(site)) for number, parts in checked.items()] for site in sites}
    return CrossValidatedMethod(
        measures={"auc": _of_aucs(by_site, missing, 2)},
        calibration={} if missing else calibrations_out_of_fold(checked, sites),
    )


def _of_classes(sent: _Sent, classes: tuple[str, ...], sites: Sequence[str], missing: str) -> CrossValidatedMethod:
    checked = _checked(sent, ClassSummary, lambda site, part: CheckedClassSummary.of(site, part, classes))

    def fold_auc(number: FoldNumber, summary: CheckedClassSummary | None) -> FoldAuc:
        if summary is None or summary.sent.macro_auc.variance is None:
            return FoldAuc(*number, None, None)
        return FoldAuc(*number, summary.sent.macro_auc.estimate.value, summary.sent.macro_auc.variance)

    by_site = {site: [fold_auc(number, parts.get(site)) for number, parts in checked.items()] for site in sites}
    return CrossValidatedMethod(measures={"macro_auc": _of_aucs(by_site, missing, len(classes))})


def _of_aucs(by_site: Mapping[str, Sequence[FoldAuc]], missing: str, classes: int) -> CrossValidatedMeasure:
    return CrossValidatedMeasure(
        sites={site: cross_validated_auc({site: folds}, missing, classes) for site, folds in by_site.items()},
        mean=cross_validated_auc(by_site, missing, classes),
    )


def _of_numbers(sent: _Sent, limits: tuple[float, float], sites: Sequence[str], missing: str) -> CrossValidatedMethod:
    checked = _checked(sent, NumberSummary, lambda site, part: CheckedNumberSummary.of(site, part, limits))
    measured = {
        number: {site: _measures(summary.sent) for site, summary in parts.items()} for number, parts in checked.items()
    }

    def fold_measure(number: FoldNumber, site: str, name: Name) -> FoldMeasure:
        summary = checked[number].get(site)
        people = 0 if summary is None else summary.sent.test.joint.people
        return FoldMeasure(*number, people, measured[number].get(site, {}).get(name))

    def of(name: Name) -> CrossValidatedMeasure:
        by_site = {site: [fold_measure(number, site, name) for number in checked] for site in sites}
        return CrossValidatedMeasure(
            sites={site: cross_validated_number(name, {site: folds}, missing) for site, folds in by_site.items()},
            mean=cross_validated_number(name, by_site, missing),
        )

    return CrossValidatedMethod(
        measures={"mae": of("mae"), "r_squared": of("r_squared")},
        residuals={} if missing else residuals_out_of_fold(checked, sites),
    )


def _measures(summary: NumberSummary) -> Mapping[Name, Measure]:
    return measures(summary.test, summary.reference, summary.ratios, summary.spearman)
