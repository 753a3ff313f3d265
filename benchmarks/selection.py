"""What the choice of the round costs: the test AUC that is lost against the round that is best on average.

Federations of 2 to 6 sites with 4 to 40 training people each are dealt from one pool of 3,000 people, validation sets
of 2/5 as many; all others are the test set. A person is a vector of 384 numbers, drawn from two normal distributions
whose spread falls as that of an encoder's features, in place of encoded scans. A linear head is trained by FedAvg with
the optimiser of `training/local.py` (AdamW, clipping, class weights), written here in numpy. The choices are the
package's own (`federation/best_round.py`).

    python benchmarks/selection.py --json

Takes some three minutes on one core.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from fedtune3d.federation.best_round import is_best, mean_auc_error
from fedtune3d.federation.ledger import Validation
from fedtune3d.training.scores import Scores
from fedtune3d.training.settings import BestRound

PEOPLE, WIDTH, BATCH, DECAY = 3_000, 384, 8, 1e-2
CHOICES: tuple[BestRound, ...] = ("highest_auc", "latest_within_error", "last")


class Setting(NamedTuple):
    """How a federation trains; after `collapse` rounds its state is that of the start."""

    name: str
    rate: float = 1e-3
    epochs: int = 1
    signal: float = 2.0
    collapse: int | None = None


SETTINGS = (
    Setting("defaults"),
    Setting("4 passes per round", epochs=4),
    Setting("learning rate × 10", rate=1e-2),
    Setting("overfits: learning rate × 100, 4 passes, weak signal", rate=0.1, epochs=4, signal=1.2),
    Setting("collapses after round 10", rate=1e-2, collapse=10),
)


class Site(NamedTuple):
    """Rows of the pool."""

    train: np.ndarray
    validation: np.ndarray


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--federations", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    rows = []
    for setting in SETTINGS:
        row = losses(setting, options.federations, options.rounds, options.seed)
        rows.append(row)
        print(f"{setting.name}: best on average is round {row['best_round']} (test AUC {row['auc']:.3f})")
        for choice in CHOICES:
            found = row[choice]
            print(f"  {choice:<20} mean loss {found['mean']:.4f}, worst {found['worst']:.3f}", flush=True)
    if options.json:
        print(json.dumps({"federations": options.federations, "rounds": options.rounds, "settings": rows}))


def losses(setting: Setting, federations: int, rounds: int, seed: int) -> dict[str, Any]:
    """Mean and worst loss of test AUC by choice."""
    features, labels = pool(np.random.default_rng(seed), setting.signal)
    runs = [
        federation(np.random.default_rng([seed, number]), features, labels, setting, rounds)
        for number in range(federations)
    ]
    tested = np.array([aucs for aucs, _ in runs])
    best = int(tested.mean(axis=0).argmax())
    row: dict[str, Any] = {"name": setting.name, "best_round": best + 1, "auc": float(tested.mean(axis=0)[best])}
    for choice in CHOICES:
        lost = [aucs[best] - aucs[chosen(validations, choice)] for aucs, validations in runs]
        row[choice] = {"mean": float(np.mean(lost)), "worst": float(np.max(lost))}
    return row


def chosen(validations: Sequence[Validation], choice: BestRound) -> int:
    """The index of the round that the package evaluates."""
    return max(number for number, part in enumerate(validations) if is_best(part, validations[:number], choice))


def pool(rng: np.random.Generator, signal: float) -> tuple[np.ndarray, np.ndarray]:
    """(people, width) features with a few directions that tell the classes apart, and (people,) labels."""
    labels = np.arange(PEOPLE) % 2
    spread = 1 / np.sqrt(1 + np.arange(WIDTH) / 4)
    direction = np.zeros(WIDTH)
    direction[rng.choice(60, 8, replace=False)] = 1 / np.sqrt(8)
    features = rng.normal(size=(PEOPLE, WIDTH)) * spread + np.outer(labels - 0.5, direction * spread * signal)
    features = features - features.mean(axis=0)
    return features / features.std(), labels


def deal(rng: np.random.Generator, labels: np.ndarray) -> tuple[list[Site], np.ndarray]:
    """The sites, each with both classes in both sets, and the rows of the test set."""
    order = rng.permutation(PEOPLE)
    rows = [list(order[labels[order] == label]) for label in (0, 1)]
    sites = []
    for _ in range(rng.integers(2, 7)):
        train = int(np.exp(rng.uniform(np.log(4), np.log(40))))
        share = rng.uniform(0.35, 0.65)
        sets = []
        for size in (train, max(2, round(0.4 * train))):
            positives = min(size - 1, max(1, round(size * share)))
            sets.append([rows[1].pop() for _ in range(positives)] + [rows[0].pop() for _ in range(size - positives)])
        sites.append(Site(np.array(sets[0]), np.array(sets[1])))
    return sites, np.array(rows[0] + rows[1])


def federation(
    rng: np.random.Generator, features: np.ndarray, labels: np.ndarray, setting: Setting, rounds: int
) -> tuple[list[float], list[Validation]]:
    """The test AUC and the sites' validation after each round."""
    sites, test = deal(rng, labels)
    state = np.append(rng.uniform(-1, 1, WIDTH) / np.sqrt(WIDTH), 0.0)
    initial, weights = state, np.array([len(site.train) for site in sites], dtype=float)
    tested, validations = [], []
    for round_ in range(1, rounds + 1):
        updates = [local_training(rng, features[site.train], labels[site.train], state, setting) for site in sites]
        state = np.average(updates, axis=0, weights=weights)
        shown = initial if setting.collapse is not None and round_ > setting.collapse else state
        tested.append(auc(labels[test], margins(features[test], shown)))
        scores = [score(labels[site.validation], margins(features[site.validation], shown)) for site in sites]
        validations.append(validation_of(round_, scores))
    return tested, validations


def margins(features: np.ndarray, state: np.ndarray) -> np.ndarray:
    """(n,) log-odds."""
    return np.asarray(features @ state[:-1] + state[-1])


def local_training(
    rng: np.random.Generator, features: np.ndarray, labels: np.ndarray, state: np.ndarray, setting: Setting
) -> np.ndarray:
    """The state after one round at a site: AdamW from fresh moments, gradients clipped at norm 1."""
    state, first, second, step = state.copy(), np.zeros_like(state), np.zeros_like(state), 0
    weights = len(labels) / (2 * np.bincount(labels, minlength=2))[labels]
    for _ in range(setting.epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(labels), BATCH):
            rows = order[start : start + BATCH]
            errors = (1 / (1 + np.exp(-margins(features[rows], state))) - labels[rows]) * weights[rows] / len(rows)
            gradient = np.append(errors @ features[rows], errors.sum())
            gradient = gradient / max(1.0, float(np.linalg.norm(gradient)))
            step += 1
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            state[:-1] *= 1 - setting.rate * DECAY
            state -= setting.rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return state


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The area under the ROC curve."""
    positives = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(labels) - positives)))


def score(labels: np.ndarray, scores: np.ndarray) -> Scores:
    """What a site sends of its validation set."""
    loss = float(np.logaddexp(0, np.where(labels == 1, -scores, scores)).mean())
    return Scores(auc(labels, scores), None, loss, len(labels), None)


def validation_of(round_: int, scores: Sequence[Scores]) -> Validation:
    """As the server makes it."""
    aucs = [part.auc for part in scores if part.auc is not None]
    scans = sum(part.examples for part in scores)
    loss = sum((part.loss or 0.0) * part.examples for part in scores) / scans
    return Validation(round_, float(np.mean(aucs)), loss, mean_auc_error(scores))


if __name__ == "__main__":
    main()
