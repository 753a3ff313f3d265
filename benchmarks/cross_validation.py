"""Bias and coverage of the cross-validated AUC at simulated sites of 60 people.

    python benchmarks/cross_validation.py [--sites 1 3 --folds 5 --repeats 1 2] [--json]
    python benchmarks/cross_validation.py --head conv_s --repetitions 20 --truth 20 --chunk 4 --sites 1 --repeats 1

Each repetition deals the sites' people, 30 of each class, from one pool of encoded simulated scans (`encoded_pool.py`),
deals them into folds as the package does (`cohorts/folds.py`), trains each fold by FedAvg with its own inner validation
and round choice, and computes the cross-validated AUC with its interval (`evaluation/cross_validation.py`).

The truth is the expected AUC of the procedure at that training size: the mean test AUC of `--truth` trainings on people
drawn from the pool, tested on all the others. Bias is the mean estimate minus the truth, next to that of ranking all
out-of-fold scores of a repeat together ("pooled"). Coverage is that of the 95% interval, and of three others:

- given the models: the normal interval of the folds' own DeLong variances (LeDell et al. 2015), uncorrected;
- Nadeau-Bengio: Student's interval with their corrected resampled variance (2003), (1/J + 1/(K − 1)) s² over J folds;
- fold t: Student's interval over folds, as if they were independent.

As sites are part of a finite pool, errors are smaller than with new people: intervals are shrunk about the estimate by
√(1 − people / pool) before they are compared with the truth, and the standard deviation is divided by that. Finished
chunks of repetitions are kept in a folder (`--kept`), so that a run can be stopped and continued.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import torch
from scipy.stats import t as student

from encoded_pool import Pool, read_pool
from federations import ConvS, Learner, Linear, Site, auc, validate
from fedtune3d._utils.files import write_text
from fedtune3d._utils.seeds import derive_seed
from fedtune3d.cohorts.folds import Fold, assign_fold
from fedtune3d.evaluation.auc_estimate import variance_of
from fedtune3d.evaluation.cross_validated_auc import FoldAuc, cross_validated_auc
from fedtune3d.evaluation.delong import auc_and_variance
from fedtune3d.evaluation.estimate import Z
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.federation.best_round import is_best
from fedtune3d.federation.ledger import Validation
from fedtune3d.training.settings import TrainingSettings
from selection import parser_of_federations

PEOPLE = 60
FRACTIONS, SPLITS = (0.5, 0.2, 0.3), ("train", "validation", "test")
METHODS = ("package", "given the models", "Nadeau-Bengio", "fold t")


class Estimate(NamedTuple):
    """One repetition: the estimate, that of pooled scores, and method → (low, high)."""

    value: float
    pooled: float
    intervals: dict[str, tuple[float, float]]


class Coverage(NamedTuple):
    """A method's coverage of the truth, with its standard error, and the mean width."""

    coverage: float
    error: float
    width: float


def main() -> None:
    """Parse, run, print."""
    parser = parser_of_federations(__doc__)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--truth", type=int, default=600, help="trainings for the expected AUC")
    parser.add_argument("--sites", type=int, nargs="*", default=[1, 3], help="numbers of sites")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--kept", type=Path, default=Path("runs/cross_validation"), help="folder of finished chunks")
    parser.add_argument("--chunk", type=int, default=20, help="repetitions in a chunk")
    parser.set_defaults(people=840)
    options = parser.parse_args()
    found = []
    for sites in options.sites:
        truth = _all("truth", options.truth, sites, options)
        estimates = _all("repetition", options.repetitions, sites, options)
        for repeats in options.repeats:
            of_repeats = [Estimate(*one[str(repeats)]) for one in estimates]
            found.append(_row(sites, repeats, truth, of_repeats, options))
    print_table(found, options)
    if options.json:
        print(json.dumps({"head": options.head, "repetitions": options.repetitions, "rows": found}))


def _all(kind: str, count: int, sites: int, options: argparse.Namespace) -> list:  # type: ignore[type-arg]
    """The results of all repetitions, or of all trainings for the truth; those of a kept chunk are read."""
    name = f"{options.head}-{options.folds}x{max(options.repeats)}-{sites}-{kind}-{options.seed}-by{options.chunk}"
    files = [(first, options.kept / f"{name}-{first:05d}.json") for first in range(0, count, options.chunk)]
    options.kept.mkdir(parents=True, exist_ok=True)
    missing = [part for part in files if not part[1].exists()]
    joblib.Parallel(n_jobs=options.workers)(joblib.delayed(_chunk)(kind, *part, sites, options) for part in missing)
    return [found for _, file in files for found in json.loads(file.read_text())][:count]


def _chunk(kind: str, first: int, file: Path, sites: int, options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    pool = read_pool(options.pool, options.people, workers=1)
    learner = ConvS(pool) if options.head == "conv_s" else Linear(pool)
    work = {"truth": _truth, "repetition": _repetition}[kind]
    found = [work(number, sites, pool, learner, options) for number in range(first, first + options.chunk)]
    write_text(file, json.dumps(found))


def _truth(number: int, sites: int, pool: Pool, learner: Learner, options: argparse.Namespace) -> float:
    """The AUC, on everybody else, of a training of the size of a fold's."""
    rng = np.random.default_rng([options.seed, sites, number, 1])
    seed = derive_seed(options.seed, "truth", number)
    dealt = [
        _set_of_fold(rows, assign_fold(_groups(rows, pool), seed, str(site), FRACTIONS, Fold(1, 1, options.folds)))
        for site, rows in enumerate(_deal(rng, pool, sites))
    ]
    used = np.concatenate([np.concatenate([site.train, site.validation]) for site in dealt])
    others = np.setdiff1d(np.arange(len(pool.labels)), used)
    state = train(rng, dealt, pool, learner, learner.initial(seed))
    return auc(pool.labels[others], learner.margins(others, state))


def _repetition(
    number: int, sites: int, pool: Pool, learner: Learner, options: argparse.Namespace
) -> dict[str, Estimate]:
    """Number of repeats → the estimate from so many."""
    rng = np.random.default_rng([options.seed, sites, number])
    seed = derive_seed(options.seed, "repetition", number)
    dealt = _deal(rng, pool, sites)
    tested: dict[str, list[tuple[FoldAuc, Predictions]]] = {str(site): [] for site in range(sites)}
    for repeat in range(1, max(options.repeats) + 1):
        for fold_number in range(1, options.folds + 1):
            fold = Fold(repeat, fold_number, options.folds)
            splits = [
                assign_fold(_groups(rows, pool), seed, str(site), FRACTIONS, fold) for site, rows in enumerate(dealt)
            ]
            of_fold = [_set_of_fold(rows, split) for rows, split in zip(dealt, splits, strict=True)]
            state = train(rng, of_fold, pool, learner, learner.initial(seed))
            for site, part in enumerate(of_fold):
                predictions = _predictions(part.test, pool, learner.margins(part.test, state))
                value, _ = auc_and_variance(predictions)
                tested[str(site)].append((FoldAuc(repeat, fold_number, value, variance_of(predictions)), predictions))
    return {str(repeats): _estimate(tested, repeats, options.folds) for repeats in options.repeats}


def _deal(rng: np.random.Generator, pool: Pool, sites: int) -> list[np.ndarray]:
    """Rows of the pool per site, half of each class; nobody is at two sites."""
    by_class = [rng.permutation(np.flatnonzero(pool.labels == label)) for label in (0, 1)]
    half = PEOPLE // 2
    return [np.concatenate([rows[site * half : (site + 1) * half] for rows in by_class]) for site in range(sites)]


def _groups(rows: np.ndarray, pool: Pool) -> dict[str, tuple[int, int]]:
    return {f"{row:06d}": (int(pool.labels[row] == 0), int(pool.labels[row] == 1)) for row in rows}


def _set_of_fold(rows: np.ndarray, splits: dict[str, str]) -> Site:
    return Site(*(np.array([row for row in rows if splits[f"{row:06d}"] == name]) for name in SPLITS))


def train(
    rng: np.random.Generator, sites: Sequence[Site], pool: Pool, learner: Learner, initial: np.ndarray
) -> np.ndarray:
    """FedAvg over the sites; the state of the round that the package chooses by validation."""
    settings, state, sizes = TrainingSettings(), initial, [len(site.train) for site in sites]
    chosen, validations = initial, list[Validation]()
    for round_ in range(1, settings.rounds + 1):
        updates = [learner.train(rng, site.train, state, settings) for site in sites]
        state = np.average(updates, axis=0, weights=sizes)
        validation, _ = validate(round_, sites, pool, learner, state)
        if is_best(validation, validations, settings.best_round):
            chosen = state
        validations.append(validation)
    return chosen


def _predictions(rows: np.ndarray, pool: Pool, margins: np.ndarray) -> Predictions:
    probabilities = 1 / (1 + np.exp(-margins.astype(float)))
    return Predictions(tuple(f"{row:06d}" for row in rows), ("",) * len(rows), pool.labels[rows], probabilities)


def _estimate(tested: dict[str, list[tuple[FoldAuc, Predictions]]], repeats: int, folds: int) -> Estimate:
    used = {site: [one for one in found if one[0].repeat <= repeats] for site, found in tested.items()}
    estimate = cross_validated_auc({site: [fold for fold, _ in found] for site, found in used.items()})
    assert estimate.estimate.limits is not None
    value, low, high = estimate.estimate.limits
    values, number = np.array(estimate.values), repeats * folds
    spread = values.std(ddof=1)
    given_models = math.sqrt(np.mean([_variance(found, folds) for found in used.values()]) / len(used))
    half = {
        "fold t": student.ppf(0.975, number - 1) * spread / math.sqrt(number),
        "Nadeau-Bengio": student.ppf(0.975, number - 1) * spread * math.sqrt(1 / number + 1 / (folds - 1)),
        "given the models": Z * given_models,
    }
    others = {name: (value - width, value + width) for name, width in half.items()}
    return Estimate(
        value, float(np.mean([_pooled(found) for found in used.values()])), {"package": (low, high)} | others
    )


def _variance(found: Sequence[tuple[FoldAuc, Predictions]], folds: int) -> float:
    """The variance of a site's mean over folds, given the models: the mean over repeats of Σ V / K²."""
    variances = [auc_and_variance(predictions)[1] or 0.0 for _, predictions in found]
    return float(np.mean(variances) / folds)


def _pooled(found: Sequence[tuple[FoldAuc, Predictions]]) -> float:
    """The AUC of all out-of-fold scores of a repeat ranked together, mean over repeats."""
    repeats: dict[int, list[Predictions]] = {}
    for fold, predictions in found:
        repeats.setdefault(fold.repeat, []).append(predictions)
    return float(
        np.mean(
            [
                auc(
                    np.concatenate([part.labels for part in parts]).astype(int),
                    np.concatenate([part.probabilities for part in parts]),
                )
                for parts in repeats.values()
            ]
        )
    )


def _row(
    sites: int, repeats: int, truth: Sequence[float], estimates: Sequence[Estimate], options: argparse.Namespace
) -> dict[str, object]:
    expected = float(np.mean(truth))
    values, pooled = (np.array([getattr(one, name) for one in estimates]) for name in ("value", "pooled"))
    shrink = math.sqrt(1 - sites * PEOPLE / options.people)
    error_of_truth = float(np.std(truth, ddof=1) / math.sqrt(len(truth)))
    return {
        "sites": sites,
        "folds": options.folds,
        "repeats": repeats,
        "truth": expected,
        "bias": float(values.mean() - expected),
        "bias_error": math.hypot(values.std(ddof=1) / math.sqrt(len(values)), error_of_truth),
        "pooled_bias": float(pooled.mean() - expected),
        "sd": float(values.std(ddof=1)) / shrink,
        "coverage": {name: _coverage(name, estimates, expected, shrink) for name in METHODS},
    }


def _coverage(name: str, estimates: Sequence[Estimate], truth: float, shrink: float) -> Coverage:
    covered, widths = [], []
    for one in estimates:
        low, high = one.intervals[name]
        covered.append(one.value - shrink * (one.value - low) <= truth <= one.value + shrink * (high - one.value))
        widths.append(high - low)
    share = float(np.mean(covered))
    return Coverage(share, math.sqrt(share * (1 - share) / len(covered)), float(np.mean(widths)))


def print_table(rows: Sequence[dict[str, object]], options: argparse.Namespace) -> None:
    """Print a line per number of sites and of repeats."""
    print(f"{options.head}, {options.repetitions} repetitions, {options.folds} folds, sites of {PEOPLE} people")
    print(
        "sites repeats  truth    bias (SE)         pooled bias  SD     " + "  ".join(f"{name:<21}" for name in METHODS)
    )
    for row in rows:
        cells = [
            f"{100 * c.coverage:5.1f}% ±{100 * c.error:.1f}, width {c.width:.2f}" for c in row["coverage"].values()
        ]
        print(
            f"{row['sites']:>5} {row['repeats']:>7}  {row['truth']:.3f}  {row['bias']:+.4f} ({row['bias_error']:.4f})  "
            f"{row['pooled_bias']:+.4f}     {row['sd']:.3f}  " + "  ".join(cells)
        )


if __name__ == "__main__":
    main()
