"""Parts of `coverage.py` for more than two classes and for numbers, from the package's own functions.

The truth is that of a test set of many people.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.combination import combine_classes
from fedtune3d.evaluation.multiclass.metrics import ClassTestMetrics
from fedtune3d.evaluation.multiclass.summary import summarise_classes
from fedtune3d.evaluation.regression.combination import combine_numbers
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.paired import paired_errors
from fedtune3d.evaluation.regression.summary import summarise_numbers

CLASSES = ("CN", "MCI", "AD")
MANY = 4_000
FEWER = 8
"""A part makes one in so many of the test sets that the vectorised parts make."""
LIMITS = (40.0, 100.0)
MEASURES = ("mae", "rmse", "bias", "r_squared", "slope", "intercept", "pearson", "spearman")
OF_CLASSES = ("macro_auc", "hand_till", "balanced_accuracy", "accuracy", "log_loss", "brier")
Found = Mapping[str, Estimate]


def draw_classes(rng: np.random.Generator, people: Sequence[int], each: int, sharp: float) -> ClassPredictions:
    """Scans of so many people of three classes in order of severity; a person's scans share half of their variance."""
    truth = np.repeat(np.repeat(np.arange(3), people), each)
    shared = np.repeat(rng.normal(0, np.sqrt(0.5) * (each > 1), (sum(people), 2)), each, axis=0)
    own = rng.normal(0, np.sqrt(0.5 if each > 1 else 1.0), (len(truth), 2))
    severity = sharp * truth + shared[:, 0] + own[:, 0]
    other = shared[:, 1] + own[:, 1]
    logits = np.stack([-sharp * severity, sharp * other - 0.5, sharp * (severity - 2 * sharp)], axis=1)
    names = tuple(f"{row // each:05d}" for row in range(len(truth)))
    sessions = tuple(str(row % each) for row in range(len(truth)))
    return ClassPredictions(names, sessions, truth, softmax(logits, axis=1))


def draw_numbers(rng: np.random.Generator, people: int, each: int, errors: str) -> NumberPredictions:
    """Scans of so many people, with errors that are normal, heavy-tailed (t with 5) or greater at greater age."""
    truth = np.repeat(rng.normal(70, 9, people), each)
    noise = np.repeat(_noise(rng, people, errors), each) * np.sqrt(0.5 if each > 1 else 0.0)
    noise += _noise(rng, people * each, errors) * np.sqrt(0.5 if each > 1 else 1.0)
    if errors == "unequal":
        noise *= np.clip((truth - 45) / 25, 0.2, 3)
    predicted = 71 + 0.7 * (truth - 70) + 5 * noise
    names = tuple(f"{row // each:05d}" for row in range(len(truth)))
    sessions = tuple(str(row % each) for row in range(len(truth)))
    return NumberPredictions(names, sessions, truth, predicted)


def _noise(rng: np.random.Generator, count: int, errors: str) -> np.ndarray:
    return rng.standard_t(5, count) / np.sqrt(5 / 3) if errors == "tails" else rng.normal(0, 1, count)


def held(found: Sequence[Estimate], truth: float) -> tuple[float, float] | str:
    """The share of the defined intervals that hold the truth, and their mean width."""
    limits = np.array([part.limits[1:] for part in found if part.limits is not None])
    if not len(limits):
        return "none"
    inside = (limits[:, 0] <= truth + 1e-12) & (truth <= limits[:, 1] + 1e-12)
    return float(inside.mean()), float((limits[:, 1] - limits[:, 0]).mean())


def _of_classes(metrics: ClassTestMetrics) -> dict[str, Estimate]:
    found = {name: getattr(metrics, name) for name in OF_CLASSES}
    return found | {f"AUC of {CLASSES[0]}": metrics.of_class[0].auc, f"AUC of {CLASSES[1]}": metrics.of_class[1].auc}


def three_classes(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """People per class, scans each, how sharp; all estimates of a site."""
    rows = []
    for people, each, sharp in itertools.product(((6, 6, 6), (15, 15, 15), (40, 12, 20)), (1, 3), (0.8, 1.5)):
        many = draw_classes(rng, [MANY * count // max(people) for count in people], 1, sharp)
        truth = _of_classes(combine_classes({"A": summarise_classes(many, CLASSES, False)}).sites["A"])
        found = []
        for _ in range(max(1, draws // FEWER)):
            sent = summarise_classes(draw_classes(rng, people, each, sharp), CLASSES, False)
            found.append(_of_classes(combine_classes({"A": sent}, shared_model=False).sites["A"]))
        rows.append(_row({"people": "+".join(map(str, people)), "scans each": each, "sharp": sharp}, found, truth))
    return rows


def sites_of_three_classes(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Four sites of unequal size: pooled from predictions and from counts, and the mean over sites."""
    rows = []
    sizes = ((6, 5, 5), (4, 4, 6), (8, 7, 9), (5, 6, 4))
    for each, sharp in itertools.product((1, 3), (0.8, 1.5)):
        total = np.sum(sizes, axis=0)
        many = draw_classes(rng, (MANY * total // max(total)).tolist(), 1, sharp)
        truth = _of_classes(combine_classes({"A": summarise_classes(many, CLASSES, False)}).sites["A"])
        found: list[dict[str, Estimate]] = []
        for _ in range(max(1, draws // FEWER)):
            drawn = {site: draw_classes(rng, size, each, sharp) for site, size in zip("ABCD", sizes, strict=True)}
            shared, kept = (
                combine_classes({site: summarise_classes(test, CLASSES, share) for site, test in drawn.items()})
                for share in (True, False)
            )
            found.append(
                {"pooled": shared.pooled.macro_auc, "from counts": kept.pooled.macro_auc, "mean": kept.mean.macro_auc}
                | {"pooled M": shared.pooled.hand_till, "M, counts": kept.pooled.hand_till}
                | {"mean M": kept.mean.hand_till, "mean balanced": kept.mean.balanced_accuracy}
                | {"mean log loss": kept.mean.log_loss, "mean Brier": kept.mean.brier}
            )
        truths = dict.fromkeys(("pooled", "from counts", "mean"), truth["macro_auc"])
        truths |= dict.fromkeys(("pooled M", "M, counts", "mean M"), truth["hand_till"])
        # Sites differ in their shares of the classes; the truth of a mean over sites is the mean of theirs.
        each_site = [draw_classes(rng, [MANY * n // max(size) for n in size], 1, sharp) for size in sizes]
        means = combine_classes({str(n): summarise_classes(part, CLASSES, False) for n, part in enumerate(each_site)})
        truths |= {"mean balanced": truth["balanced_accuracy"], "mean": means.mean.macro_auc}
        truths |= {"mean log loss": means.mean.log_loss, "mean Brier": means.mean.brier}
        rows.append(_row({"scans each": each, "sharp": sharp}, found, truths))
    return rows


def numbers(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """People, scans each, kind of error; all measures of a site, then those of the line from sums alone."""
    rows = []
    for errors, people, each in itertools.product(("normal", "tails", "unequal"), (8, 15, 40, 150), (1, 3)):
        many = draw_numbers(rng, 40 * MANY, 1, errors)
        truth = vars(_combined([many]).sites["0"].measures)
        found = []
        for _ in range(max(1, draws // FEWER)):
            metrics = _combined([draw_numbers(rng, people, each, errors)])
            sums = vars(metrics.pooled.measures)
            own = {name: getattr(metrics.sites["0"].measures, name) for name in MEASURES}
            found.append(own | {f"{name}, sums": sums[name] for name in ("r_squared", "slope", "pearson")})
        truths = truth | {f"{name}, sums": truth[name] for name in ("r_squared", "slope", "pearson")}
        rows.append(_row({"errors": errors, "people": people, "scans each": each}, found, truths))
    return rows


def sites_of_numbers(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Four sites of 10 to 20 people: means over sites, and the paired difference of two models' absolute errors."""
    rows = []
    for errors, each in itertools.product(("normal", "tails"), (1, 3)):
        truth = vars(_combined([draw_numbers(rng, 40 * MANY, 1, errors)]).sites["0"].measures)
        found = []
        for _ in range(max(1, draws // FEWER)):
            parts = [draw_numbers(rng, people, each, errors) for people in (10, 12, 15, 20)]
            means = vars(_combined(parts).mean)
            found.append({f"mean {name}": means[name] for name in MEASURES})
            found[-1]["paired"] = paired_errors(parts[0], _other_model(rng, parts[0], errors)).difference
        truths = {f"mean {name}": truth[name] for name in MEASURES}
        many = draw_numbers(rng, 40 * MANY, 1, errors)
        truths["paired"] = paired_errors(many, _other_model(rng, many, errors)).difference
        rows.append(_row({"errors": errors, "scans each": each}, found, truths))
    return rows


def _other_model(rng: np.random.Generator, drawn: NumberPredictions, errors: str) -> NumberPredictions:
    """Predictions of the same scans whose errors share half of their variance with the first model's."""
    noise = 5 * _noise(rng, len(drawn), errors)
    middle = 71 + 0.7 * (drawn.truth - 70)
    predicted = middle + (drawn.predicted - middle) * np.sqrt(0.5) + noise * np.sqrt(0.8)
    return NumberPredictions(drawn.participants, drawn.sessions, drawn.truth, predicted)


def _combined(parts: Sequence[NumberPredictions]) -> Any:
    """Metrics of sites that keep their predictions."""
    return combine_numbers(
        {str(site): summarise_numbers(part, part, LIMITS, share_predictions=False) for site, part in enumerate(parts)}
    )


def _row(names: Mapping[str, object], found: Sequence[Found], truths: Mapping[str, Estimate]) -> dict[str, Any]:
    cells = {name: held([part[name] for part in found], truth.value or 0.0) for name, truth in truths.items()}
    return {**names, **cells}
