"""Warnings of results that tell nothing of a scan, next to the main result."""

from collections.abc import Iterator, Sequence

from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.report.few_sites import few_sites_text, most_are_few
from fedtune3d.report.headline import headline
from fedtune3d.report.shown_measure import RMSE_NAME
from fedtune3d.report.undetected import undetected_classes

CHANCE = 0.5
FLAT = 0.1
"""Standard deviation of predicted numbers over that of the true ones, below which predictions are called alike."""


def result_warnings(metrics: RunMetrics, names: ClassNames, ledger: Sequence[LedgerLine]) -> list[str]:
    """Return a sentence per warning: few people, chance, unrecognised classes, numbers alike, training without gain."""
    return [
        *_few(metrics),
        *_chance(metrics),
        *undetected_classes(metrics, names),
        *_alike(metrics),
        *_not_improved(metrics, ledger),
    ]


def _few(metrics: RunMetrics) -> Iterator[str]:
    """Warn if most sites have so few test people that even a measure of 1.00 says little."""
    if most_are_few(metrics):
        found = headline(metrics)
        yield f"Few people: {few_sites_text(metrics)} in the test set. Judge the {found.short} by its 95% CI."


def _chance(metrics: RunMetrics) -> Iterator[str]:
    """Warn if the federated model of two classes is not shown to be better than chance, on average over sites."""
    federated = metrics.methods.get("federated")
    limits = None if federated is None else federated.mean_auc.limits
    if limits is not None and limits[1] <= CHANCE:
        yield f"The model is not shown to be better than chance (AUC {CHANCE:.2f}): see the 95% CI of its test AUC."


def _alike(metrics: RunMetrics) -> Iterator[str]:
    """Warn if the federated model predicts nearly the same number for every test scan.

    The deviation of the predictions follows from numbers that every site may send: the slope of the calibration line is
    r · s_truth / s_predicted.
    """
    found = metrics.number_methods.get("federated")
    if found is None or (pooled := found.pooled) is None or not pooled.truth_deviation or pooled.truth_mean is None:
        return
    slope, correlation, bias = pooled.measures.slope.value, pooled.measures.pearson.value, pooled.measures.bias.value
    if not slope or correlation is None or bias is None:
        return
    deviation = abs(correlation / slope) * pooled.truth_deviation
    if deviation < FLAT * pooled.truth_deviation:
        unit = metrics.outcome.unit if isinstance(metrics.outcome, NumberOutcome) else ""
        middle = f"{pooled.truth_mean + bias:.1f} {unit}".rstrip()
        spread = f"{deviation:.2g}, that of the true numbers is {pooled.truth_deviation:.2g} {unit}".rstrip()
        yield f"The model predicts nearly the same number for every test scan, {middle} (standard deviation {spread})."


def _not_improved(metrics: RunMetrics, ledger: Sequence[LedgerLine]) -> Iterator[str]:
    """Warn if the evaluated state has no better validation score than the state before training."""
    outcome = metrics.outcome
    scores = {line.validation.state_round: line.validation.score(outcome) for line in ledger}
    before, after = scores.get(0), scores.get(metrics.best_round or 0)
    if before is None or after is None or not metrics.best_round:
        return
    number = isinstance(outcome, NumberOutcome)
    if after < before if number else after > before:
        return
    unit = f" {outcome.unit}".rstrip() if isinstance(outcome, NumberOutcome) else ""
    measure = f"{RMSE_NAME} (RMSE)" if number else "AUC" if outcome.is_binary else "macro AUC"
    yield (
        f"Training did not improve the validation {measure}: {before:.2f}{unit} before training, {after:.2f}{unit} "
        f"after round {metrics.best_round}, the round that was evaluated."
    )
