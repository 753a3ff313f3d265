"""The values of a log: named numbers from the ledger and the evaluation, all of them aggregated over scans."""

from collections.abc import Iterator
from typing import NamedTuple

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import MethodMetrics, RunMetrics
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.federation.ledger import LedgerLine


class Value(NamedTuple):
    """A named number; its step is the round of the global state that it belongs to."""

    name: str
    step: int
    value: float


def round_values(line: LedgerLine) -> list[Value]:
    """Return the values of a ledger line; missing ones are left out.

    A line scores the state of the round before, so its validation scores get that round as their step. The last line
    only scores and has no other values: bytes and seconds are those of training rounds.
    """
    return [Value(name, step, float(value)) for name, step, value in _of_line(line) if value is not None]


def evaluation_values(metrics: RunMetrics) -> list[Value]:
    """Return the test AUC of each method per site, averaged over sites and pooled, with the limits of its 95% CI.

    Of three or more classes, the macro-averaged AUC; of a number, the mean absolute error. The step is the round of the
    evaluated state.
    """
    return [
        Value(f"test/{kind}{end}/{place}", metrics.best_round or 0, number)
        for method, measured in metrics.evaluated.items()
        for kind, place, estimate in _estimates(method, measured)
        if estimate.limits is not None
        for number, end in zip(estimate.limits, ("", "_low", "_high"), strict=True)
    ]


def _of_line(line: LedgerLine) -> Iterator[tuple[str, int, float | None]]:
    scored = line.validation.state_round
    yield "round/validation_auc_mean", scored, line.validation.mean_auc
    yield "round/validation_loss_pooled", scored, line.validation.pooled_loss
    if line.trains:
        yield "round/seconds", line.round, line.seconds
        yield "round/sites", line.round, sum(entry.participated for entry in line.sites.values())
    for site, entry in line.sites.items():
        if entry.received is not None:
            yield f"validation_auc/{site}", scored, entry.received.auc
            yield f"validation_loss/{site}", scored, entry.received.loss
        if line.trains:
            yield f"training_loss/{site}", line.round, entry.loss
            yield f"weight/{site}", line.round, entry.weight
            yield f"bytes_down/{site}", line.round, entry.bytes_down
            yield f"bytes_up/{site}", line.round, entry.bytes_up
            yield f"seconds/{site}", line.round, entry.seconds


def _estimates(
    method: str, metrics: MethodMetrics | ClassMetrics | NumberMetrics
) -> Iterator[tuple[str, str, Estimate]]:
    if isinstance(metrics, ClassMetrics):
        yield "macro_auc_mean", method, metrics.mean.macro_auc
        yield from (("macro_auc", f"{method}/{name}", test.macro_auc) for name, test in metrics.parts.items())
        return
    if isinstance(metrics, NumberMetrics):
        yield "mae_mean", method, metrics.mean.mae
        yield from (("mae", f"{method}/{name}", test.measures.mae) for name, test in metrics.parts.items())
        return
    yield "auc_mean", method, metrics.mean_auc
    if metrics.pooled is not None:
        yield "auc_pooled", method, metrics.pooled.auc
    for site, test in metrics.sites.items():
        yield "auc", f"{method}/{site}", test.auc
