"""Warnings of results that tell nothing of a scan, next to the main result."""

from collections.abc import Iterator, Sequence

from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.report.undetected import undetected_classes

FLAT = 0.1
"""Standard deviation of predicted numbers over that of the true ones, below which predictions are called alike."""


def result_warnings(metrics: RunMetrics, names: ClassNames, ledger: Sequence[LedgerLine]) -> list[str]:
    """Return one sentence per warning: classes never recognised, numbers all alike, training that did not help."""
    return [*undetected_classes(metrics, names), *_alike(metrics), *_not_improved(metrics, ledger)]


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
        spread = f"{deviation:.2g}, that of the true numbers {pooled.truth_deviation:.2g} {unit}".rstrip()
        yield f"Every test scan is given nearly the same number, {middle} (standard deviation {spread})."


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
    measure = "RMSE" if number else "AUC" if outcome.is_binary else "macro AUC"
    yield (
        f"Training did not improve the validation {measure}: {before:.2f} before it, {after:.2f} after round "
        f"{metrics.best_round}, which was evaluated."
    )
