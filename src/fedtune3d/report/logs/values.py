"""What a log holds: the numbers of the ledger's lines and of the evaluation by name, all over many scans."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

PER_SITE = {
    "loss": "training_loss",
    "weight": "weight",
    "bytes_down": "bytes_down",
    "bytes_up": "bytes_up",
    "seconds": "seconds",
}
"""What the ledger says of a site in a round, and its name in a log."""


class Value(NamedTuple):
    """A number by its name and its step, which is the round of the global state that it belongs to."""

    name: str
    step: int
    value: float


def round_values(line: Mapping[str, Any]) -> list[Value]:
    """The numbers of a ledger's line; those that are not there are left out.

    Validation scores stand at the round after which the state was scored, which is the round before the line's own. Of
    the last line, which only scores, these alone are taken: bytes and seconds are those of training rounds.
    """
    return [Value(name, step, float(value)) for name, step, value in _of_line(line) if value is not None]


def evaluation_values(metrics: Mapping[str, Any]) -> list[Value]:
    """The test AUC of each method, per site, mean over sites and pooled, with the ends of its 95 % interval.

    They stand at the round of the state that was evaluated.
    """
    return [
        Value(f"test/{kind}{end}/{place}", int(metrics["best_round"] or 0), float(estimate[key]))
        for method, found in metrics["methods"].items()
        for kind, place, estimate in _estimates(method, found)
        if estimate["value"] is not None
        for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))
    ]


def _of_line(line: Mapping[str, Any]) -> Iterator[tuple[str, int, float | None]]:
    round_, scored, trained = line["round"], line["validation"]["state_round"], line["kind"] == "train"
    yield "round/validation_auc_mean", scored, line["validation"]["mean_auc"]
    yield "round/validation_loss_pooled", scored, line["validation"]["pooled_loss"]
    if trained:
        yield "round/seconds", round_, line["seconds"]
        yield "round/sites", round_, sum(entry["participated"] for entry in line["sites"].values())
    for site, entry in line["sites"].items():
        received = entry.get("received") or {}
        yield f"validation_auc/{site}", scored, received.get("auc")
        yield f"validation_loss/{site}", scored, received.get("loss")
        if trained:
            for key, name in PER_SITE.items():
                yield f"{name}/{site}", round_, entry.get(key)


def _estimates(method: str, found: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    yield "auc_mean", method, found["mean_auc"]
    if found["pooled"]:
        yield "auc_pooled", method, found["pooled"]["auc"]
    for site, part in found["sites"].items():
        yield "auc", f"{method}/{site}", part["auc"]
