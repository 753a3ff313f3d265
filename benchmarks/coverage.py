"""How often the 95 % intervals of a report hold the truth, and how wide they are on average.

Scores are drawn from two normal distributions whose AUC is known, with one scan a person or several that share half of
their variance; with ties they are rounded to a few values. Each cell of the grid is so many simulated test sets. The
intervals come from `bulk_intervals.py`, and the first sets of each kind are checked against `fedtune3d.evaluation`, so
that what is measured is what a report shows. The study's bootstrap is the package's own, on fewer sets.

    python benchmarks/coverage.py --json

Takes several minutes on one core; parts of it by `--only`.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import binom, norm

import bulk_intervals as bulk
import outcome_coverage
from fedtune3d.evaluation import Predictions
from fedtune3d.evaluation.auc_estimate import auc_estimate, variance_of
from fedtune3d.evaluation.auc_interval import mean_auc_interval
from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.intervals import wilson
from fedtune3d.evaluation.predictive_values import ratio_interval
from fedtune3d.evaluation.sample import Sample

DEMO = ((6, 5), (4, 4), (8, 7), (5, 6))
"""Negative and positive people in the test sets of the demo's four sites."""
AUCS = (0.6, 0.7, 0.85, 0.95, 0.98)
CHECKED = 3


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    print(f"share of {options.draws} test sets whose 95 % interval holds the truth (mean width)")
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in options.only:
        print(f"\n{name}")
        rows[name] = []
        for row in PARTS[name](np.random.default_rng([options.seed, len(name)]), options.draws):
            rows[name].append(row)
            print("  " + "  ".join(_cell(value) for value in row.values()), flush=True)
        for method in sorted({key for row in rows[name] for key, value in row.items() if isinstance(value, tuple)}):
            shares = [row[method][0] for row in rows[name] if method in row]
            print(f"  {method}: mean {np.mean(shares):.3f}, least {min(shares):.3f}, greatest {max(shares):.3f}")
    if options.json:
        print(json.dumps({"draws": options.draws, "seed": options.seed, "coverage": rows}))


def _cell(value: object) -> str:
    return f"{value[0]:.3f} ({value[1]:.2f})" if isinstance(value, tuple) else str(value)


def held(limits: bulk.Limits, truth: float | np.ndarray) -> tuple[float, float]:
    """The share of intervals that hold the truth, and their mean width."""
    low, high = limits
    return float(np.mean((low <= truth + 1e-12) & (truth <= high + 1e-12))), float(np.mean(high - low))


def scores(
    rng: np.random.Generator, draws: int, people: tuple[int, int], auc: float, each: int = 1, levels: int | None = None
) -> list[np.ndarray]:
    """(draws, scans) scores of negatives and of positives; `levels` a unit makes ties."""
    drawn = []
    shared = 0.5 if each > 1 else 0.0
    for number, mean in zip(people, (0.0, np.sqrt(2) * norm.ppf(auc)), strict=True):
        own = np.repeat(rng.normal(0, np.sqrt(shared), (draws, number)), each, axis=1)
        part = own + rng.normal(mean, np.sqrt(1 - shared), (draws, number * each))
        drawn.append(part if levels is None else np.round(part * levels) / levels)
    return drawn


def true_auc(auc: float, levels: int | None) -> float:
    """The AUC of the scores once they are rounded."""
    if levels is None:
        return auc
    edges, half = np.arange(-8 * levels, 13 * levels) / levels, 0.5 / levels
    below, above = (
        norm.cdf(edges + half - mean) - norm.cdf(edges - half - mean) for mean in (0, np.sqrt(2) * norm.ppf(auc))
    )
    return float(above @ (np.cumsum(below) - below / 2))


def predictions(negatives: np.ndarray, positives: np.ndarray, each: int = 1) -> Predictions:
    """One test set as the package takes it."""
    values = np.concatenate([negatives, positives])
    names = tuple(f"{row // each:04d}" for row in range(len(values)))
    sessions = tuple(str(row % each) for row in range(len(values)))
    return Predictions(names, sessions, np.repeat([0, 1], [len(negatives), len(positives)]), norm.cdf(values / 2))


def auc_of_one_site(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """People per class, scans each, true AUC, ties; the reported interval, Newcombe's and DeLong's."""
    sizes = [(n, n) for n in (5, 7, 10, 15, 30, 60, 100, 200)]
    cells = [(size, each, auc, None) for size, each, auc in itertools.product(sizes, (1, 3), AUCS)]
    cells += [(size, each, auc, None) for size, each in (((5, 20), 1), ((30, 8), 3)) for auc in AUCS]
    cells += [((n, n), 1, auc, levels) for n, levels, auc in itertools.product((7, 15, 60), (2, 1), AUCS)]
    rows = []
    for people, each, auc, levels in cells:
        drawn, truth = scores(rng, draws, people, auc, each, levels), true_auc(auc, levels)
        parts = bulk.placed(*drawn)
        reported = bulk.score(parts, each)
        for row in range(CHECKED):
            found = auc_estimate(predictions(drawn[0][row], drawn[1][row], each), "score", rng)
            np.testing.assert_allclose((found.low, found.high), [limit[row] for limit in reported], atol=1e-7)
        newcombe = bulk.roots(parts.auc, lambda theta, people=people: bulk.newcombe_variance(theta, *people))
        rows.append(
            {
                "people": "{}+{}".format(*people),
                "scans each": each,
                "ties": levels or "none",
                "AUC": round(truth, 3),
                "reported": held(reported, truth),
                "Newcombe": held(newcombe, truth),
                "DeLong": held(bulk.wald(parts.auc, bulk.delong_variance(parts, each), (0, 1)), truth),
            }
        )
    return rows


def study_bootstrap(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """The bootstrap of `evaluation: {auc_interval: bootstrap}`, on a tenth of the test sets."""
    rows = []
    for people, auc in itertools.product(((10, 10), (30, 30)), (0.7, 0.85, 0.95)):
        drawn, hits = scores(rng, max(1, draws // 10), people, auc), []
        for negatives, positives in zip(*drawn, strict=True):
            found = auc_estimate(predictions(negatives, positives), "bootstrap", rng)
            hits.append((found.low, found.high))
        limits = np.array(hits, dtype=float).T
        rows.append({"people": "{}+{}".format(*people), "AUC": auc, "bootstrap": held((limits[0], limits[1]), auc)})
    return rows


def mean_over_sites(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Sites, their true AUCs."""
    layouts: list[tuple[str, Sequence[tuple[int, int]], Sequence[float]]] = []
    for auc in AUCS:
        layouts.append(("the demo's 4", DEMO, [auc] * 4))
        layouts.append(("3 of 4 to 6 per class", [(4, 6)] * 3, [auc] * 3))
        layouts.append(("20 of 8 per class", [(8, 8)] * 20, [auc] * 20))
        layouts.append(("50 and 5 per class", [(50, 50), (5, 5)], [auc] * 2))
    layouts.append(("the demo's 4", DEMO, [0.6, 0.75, 0.9, 0.98]))
    rows = []
    for name, sizes, aucs in layouts:
        drawn = [scores(rng, draws, size, auc) for size, auc in zip(sizes, aucs, strict=True)]
        parts = [bulk.placed(*part) for part in drawn]
        reported = bulk.mean_score(parts)
        for row in range(CHECKED):
            sets = [predictions(part[0][row], part[1][row]) for part in drawn]
            variances = [found for part in sets if (found := variance_of(part)) is not None]
            found = mean_auc_interval([float(part.auc[row]) for part in parts], variances)
            np.testing.assert_allclose(found, [limit[row] for limit in reported], atol=1e-7)
        rows.append(
            {"sites": name, "AUC": round(float(np.mean(aucs)), 4), "reported": held(reported, float(np.mean(aucs)))}
        )
    return rows


def pooled(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """The demo's sites together, with scores that are shifted by site; the truth is the pooled AUC of these shifts."""
    rows = []
    shifts = np.array([0.0, 0.8, -0.5, 0.3])
    for auc, size in itertools.product(AUCS, (1, 5)):
        sizes = np.array(DEMO) * size
        parts = [scores(rng, draws, (people[0], people[1]), auc) for people in sizes.tolist()]
        shifted = [[part[label] + shift for part, shift in zip(parts, shifts, strict=True)] for label in (0, 1)]
        reported = bulk.score(bulk.placed(*(np.concatenate(of_class, axis=1) for of_class in shifted)))
        right = norm.cdf(norm.ppf(auc) + (shifts[None, :] - shifts[:, None]) / np.sqrt(2))
        truth = float(np.average(right, weights=np.outer(sizes[:, 0], sizes[:, 1])))
        rows.append({"people": int(sizes.sum()), "AUC": round(truth, 3), "reported": held(reported, truth)})
    return rows


def gap_in_auc(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """A group and all others, by their people and AUCs."""
    rows = []
    sizes = (((8, 7), (20, 18)), ((5, 5), (12, 10)), ((30, 30), (60, 60)))
    for both, aucs in itertools.product(sizes, ((0.85, 0.85), (0.7, 0.95), (0.95, 0.95), (0.95, 0.7))):
        own, rest = (bulk.placed(*scores(rng, draws, n, auc)) for n, auc in zip(both, aucs, strict=True))
        limits = bulk.mover_difference(own.auc, bulk.score(own), rest.auc, bulk.score(rest))
        row = {"people": "{} and {}".format(*both), "true AUCs": "{} and {}".format(*aucs)}
        rows.append(row | {"reported": held(limits, aucs[0] - aucs[1])})
    return rows


def paired_difference(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Two models on the same scans, whose scores share half of their variance: at one site, and the mean over sites."""
    rows = []
    layouts: dict[str, Sequence[tuple[int, int]]] = {f"{n} per class": [(n, n)] for n in (5, 10, 30)}
    layouts |= {"the demo's 4": DEMO, "20 of 8 per class": [(8, 8)] * 20}
    for (name, sizes), aucs in itertools.product(layouts.items(), ((0.7, 0.7), (0.85, 0.85), (0.9, 0.75))):
        difference, variance = np.zeros(draws), np.zeros(draws)
        for people in sizes:
            first, second = two_models(rng, draws, people, aucs)
            apart = first.auc - second.auc
            difference += apart / len(sizes)
            deviations = [one - other - apart[:, None] for one, other in zip(first[1:], second[1:], strict=True)]
            variance += bulk.clustered(deviations, 1) / len(sizes) ** 2
        row = {"sites": name, "true AUCs": "{} and {}".format(*aucs)}
        rows.append(row | {"reported": held(bulk.wald(difference, variance, (-1, 1)), aucs[0] - aucs[1])})
    return rows


def two_models(
    rng: np.random.Generator, draws: int, people: tuple[int, int], aucs: tuple[float, float]
) -> list[bulk.Placed]:
    """Both models' scores of the same scans."""
    common = [rng.normal(0, np.sqrt(0.5), (draws, number)) for number in people]
    models = []
    for auc in aucs:
        means = (0.0, np.sqrt(2) * norm.ppf(auc))
        own = [rng.normal(mean, np.sqrt(0.5), part.shape) for part, mean in zip(common, means, strict=True)]
        models.append([part + noise for part, noise in zip(common, own, strict=True)])
    return [bulk.placed(*scored) for scored in models]


def probabilities_of(
    rng: np.random.Generator, draws: int, people: int, auc: float, extreme: float
) -> tuple[np.ndarray, np.ndarray]:
    """(draws, people) logits of a model that is calibrated at `extreme` 1 and too extreme above, and labels."""
    distance = np.sqrt(2) * norm.ppf(auc)
    labels = rng.integers(0, 2, (draws, people))
    values = rng.normal(labels * distance, 1)
    return np.clip(extreme * distance * (values - distance / 2), -10, 10), labels


def calibration_and_brier(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """People in all, true AUC, how much too extreme. Slope and intercept from 10 people per class up, as reported."""
    rows = []
    for people, auc, extreme in itertools.product((10, 24, 45, 120), (0.7, 0.85, 0.95), (1.0, 3.0)):
        logits, labels = probabilities_of(rng, draws, people, auc, extreme)
        far, outcome = probabilities_of(rng, 1, 400_000, auc, extreme)
        errors = (1 / (1 + np.exp(-logits)) - labels) ** 2
        truth = float(np.mean((1 / (1 + np.exp(-far)) - outcome) ** 2))
        reported = bulk.brier(errors)
        row: dict[str, Any] = {"people": people, "AUC": auc, "extreme": extreme, "Brier": held(reported, truth)}
        enough = np.minimum(labels.sum(axis=1), people - labels.sum(axis=1)) >= 10
        overlap = _overlap(logits, labels)
        at = np.mean(bulk.intercept(far, outcome), axis=0)
        if enough.any():
            row["intercept"] = held(bulk.intercept(logits[enough], labels[enough]), float(at[0]))
        if (enough & overlap).any():
            slopes = bulk.wald(*bulk.logistic(logits[enough & overlap], labels[enough & overlap]))
            row["slope"] = held(slopes, float(bulk.logistic(far, outcome)[0][0]))
        _check_calibration(logits, labels, reported)
        rows.append(row)
    return rows


def _overlap(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    low = [np.where(labels == label, logits, np.inf).min(axis=1) for label in (0, 1)]
    high = [np.where(labels == label, logits, -np.inf).max(axis=1) for label in (0, 1)]
    return np.asarray((high[0] > low[1]) & (high[1] > low[0]))


def _check_calibration(logits: np.ndarray, labels: np.ndarray, of_brier: bulk.Limits) -> None:
    for row in range(CHECKED):
        names = tuple(f"{person:04d}" for person in range(logits.shape[1]))
        test = Predictions(names, ("",) * len(names), labels[row], 1 / (1 + np.exp(-logits[row])))
        found = calibration(Sample.of_predictions(test))
        np.testing.assert_allclose((found.brier.low, found.brier.high), [limit[row] for limit in of_brier], atol=1e-7)
        if found.intercept.limits is not None:
            expected = [limit[0] for limit in bulk.intercept(logits[row : row + 1], labels[row : row + 1])]
            np.testing.assert_allclose(found.intercept.limits[1:], expected, atol=1e-6)


def proportions(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Exact: the binomial probability that Wilson's interval holds the true share, over 0.5 to 0.98."""
    rows = []
    for people in (5, 10, 20, 50, 200):
        limits = np.array([wilson(right / people, people) for right in range(people + 1)])
        shares = np.linspace(0.5, 0.98, 97)
        chances = binom.pmf(np.arange(people + 1)[None, :], people, shares[:, None])
        inside = (limits[None, :, 0] <= shares[:, None]) & (shares[:, None] <= limits[None, :, 1])
        exact = (chances * inside).sum(axis=1)
        width = float((chances @ (limits[:, 1] - limits[:, 0])).mean())
        rows.append({"people": people, "least": f"{exact.min():.3f}", "Wilson": (float(exact.mean()), width)})
    return rows


def predictive_values(rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Exact, over all outcomes of both classes: a PPV at a known prevalence, and accuracy, at sensitivity and
    specificity from 0.6 to 0.95. Outcomes without a PPV, as nobody is called positive, are left out; width at 0.2."""
    rows, shares = [], np.linspace(0.6, 0.95, 8)
    for positives, negatives in ((5, 5), (10, 10), (20, 20), (50, 50), (10, 40), (40, 10)):
        hits, alarms = (counts.ravel() for counts in np.mgrid[0 : positives + 1, 0 : negatives + 1])
        found = [
            ratio_interval(hit / positives, positives, alarm / negatives, negatives) if hit or alarm else (np.nan,) * 2
            for hit, alarm in zip(hits.tolist(), alarms.tolist(), strict=True)
        ]
        low, high = np.array(found).T
        right, people = (hits + negatives - alarms).tolist(), positives + negatives
        of_accuracy = np.array([wilson(count / people, people) for count in right]).T
        cells: dict[str, list[tuple[float, float]]] = {"PPV": [], "accuracy": []}
        for sensitivity, specificity in itertools.product(shares, shares):
            chances = binom.pmf(hits, positives, sensitivity) * binom.pmf(alarms, negatives, 1 - specificity)
            ratio, defined = sensitivity / (1 - specificity), ~np.isnan(low)
            inside = (low <= ratio) & (ratio <= high)
            width = 1 / (1 + 4 / high) - low / (low + 4)
            of_class = positives * sensitivity + negatives * specificity
            held_there = (of_accuracy[0] <= of_class / people) & (of_class / people <= of_accuracy[1])
            total = chances[defined].sum()
            cells["PPV"].append(((chances * inside)[defined].sum() / total, (chances * width)[defined].sum() / total))
            cells["accuracy"].append((float(chances @ held_there), float(chances @ (of_accuracy[1] - of_accuracy[0]))))
        row: dict[str, Any] = {"people": f"{positives}+{negatives}"}
        for name, values in cells.items():
            row[f"least, {name}"] = f"{min(share for share, _ in values):.3f}"
            mean = np.mean(values, axis=0)
            row[name] = (float(mean[0]), float(mean[1]))
        rows.append(row)
    return rows


PARTS: dict[str, Callable[[np.random.Generator, int], list[dict[str, Any]]]] = {
    "AUC of one site": auc_of_one_site,
    "AUC of one site, the study's bootstrap": study_bootstrap,
    "mean AUC over sites": mean_over_sites,
    "pooled AUC": pooled,
    "gap in AUC": gap_in_auc,
    "paired difference of AUCs": paired_difference,
    "calibration and Brier score": calibration_and_brier,
    "proportions": proportions,
    "predictive values and accuracy": predictive_values,
    "three classes": outcome_coverage.three_classes,
    "three classes at four sites": outcome_coverage.sites_of_three_classes,
    "numbers": outcome_coverage.numbers,
    "numbers at four sites": outcome_coverage.sites_of_numbers,
}


if __name__ == "__main__":
    main()
