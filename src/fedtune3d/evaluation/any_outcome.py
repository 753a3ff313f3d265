"""Summaries and metrics of whatever a model predicts: two classes, more classes, or a number."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fedtune3d._utils.typed_json import read_typed
from fedtune3d.evaluation.auc_estimate import AucInterval
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.combination import combine
from fedtune3d.evaluation.metrics import MethodMetrics
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.combination import combine_classes
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.multiclass.summary import ClassSummary, summarise_classes
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome, Outcome
from fedtune3d.evaluation.overlap import Overlap
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.predictive_values import PREVALENCES
from fedtune3d.evaluation.regression.combination import combine_numbers
from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.summary import NumberSummary, NumberValidation, summarise_numbers
from fedtune3d.evaluation.summary import Summary, ValidationSummary, pool_validation, summarise

AnySummary = Summary | ClassSummary | NumberSummary
AnyValidation = ValidationSummary | NumberValidation
"""Of validation scans alone: thresholds and the correction of a number are fitted to them; more classes need none."""
AnyMetrics = MethodMetrics | ClassMetrics | NumberMetrics


def limits_of(outcome: NumberOutcome) -> tuple[float, float]:
    """Return the range of a number."""
    return outcome.minimum, outcome.maximum


def no_predictions(outcome: Outcome) -> Predictions | ClassPredictions | NumberPredictions:
    """Return the predictions of no scan."""
    if isinstance(outcome, NumberOutcome):
        return NumberPredictions((), (), np.empty(0), np.empty(0))
    if outcome.is_binary:
        return Predictions((), (), np.array([], np.int8), np.array([]))
    return ClassPredictions((), (), np.empty(0, np.int64), np.empty((0, outcome.width)))


def summary_of_nobody(outcome: Outcome) -> AnySummary:
    """Return the summary of a site that holds all numbers back."""
    nobody = no_predictions(outcome)
    if isinstance(nobody, Predictions):
        return summarise(nobody, nobody, 0, share_predictions=False)
    if isinstance(nobody, ClassPredictions):
        assert isinstance(outcome, ClassOutcome)
        return summarise_classes(nobody, outcome.names, share_predictions=False)
    assert isinstance(outcome, NumberOutcome)
    return summarise_numbers(nobody, nobody, limits_of(outcome), share_predictions=False)


def require_outcome(summary: AnySummary | AnyValidation, outcome: Outcome) -> None:
    """Raise `ValueError` if a summary is not of what the model predicts."""
    if isinstance(outcome, NumberOutcome):
        fits = isinstance(summary, NumberValidation) and summary.limits == limits_of(outcome)
    elif outcome.is_binary:
        fits = isinstance(summary, ValidationSummary)
    else:
        fits = isinstance(summary, ClassSummary) and summary.classes == outcome.names
    if not fits:
        raise ValueError("a summary of another outcome than the experiment's")


def read_summaries_of(path: Path, outcome: Outcome) -> Mapping[str, AnySummary]:
    """Read method → the summary of a site. Raises `InputError` if the file is damaged or of another outcome."""
    advice = "run it again with --resume"
    if isinstance(outcome, NumberOutcome):
        return read_typed(dict[str, NumberSummary], path, advice)
    if outcome.is_binary:
        return read_typed(dict[str, Summary], path, advice)
    return read_typed(dict[str, ClassSummary], path, advice)


def combine_outcome(
    summaries: Mapping[str, AnySummary],
    seed: int,
    shared_model: bool = True,
    auc_interval: AucInterval = "score",
    overlap: Overlap | None = None,
    recalibrate: bool = False,
    prevalences: Sequence[float] = PREVALENCES,
) -> AnyMetrics:
    """Compute the metrics of a method from its sites' summaries, at least one, all of one outcome.

    Args:
        summaries: Site → its summary, in any order.
        seed: As the others, see `combination.combine`; only for two classes, except `shared_model`.
        shared_model: False if each site has its own model, so that nothing is pooled.
        auc_interval: How the sites made the intervals of their AUCs.
        overlap: People with test scans at several sites.
        recalibrate: Whether to give the calibration after Platt scaling, too.
        prevalences: Prevalences at which to give predictive values.

    Raises:
        InputError: If a summary is inconsistent, with the site's name.
    """
    classes = {site: summary for site, summary in summaries.items() if isinstance(summary, ClassSummary)}
    numbers = {site: summary for site, summary in summaries.items() if isinstance(summary, NumberSummary)}
    if classes:
        return combine_classes(classes, shared_model)
    if numbers:
        return combine_numbers(numbers, shared_model)
    return combine(
        {site: summary for site, summary in summaries.items() if isinstance(summary, Summary)},
        seed,
        shared_model,
        auc_interval,
        overlap or Overlap(),
        recalibrate,
        prevalences,
    )


def validation_of(outcome: Outcome, parts: Sequence[AnyValidation]) -> ClassCounts | JointSums:
    """Add the validation scans of sites, of which there may be none."""
    if isinstance(outcome, NumberOutcome):
        return JointSums.pooled(part.validation for part in parts if isinstance(part, NumberValidation))
    counted = [part for part in parts if isinstance(part, ValidationSummary)]
    return pool_validation(counted) if counted else ClassCounts({}, {})
