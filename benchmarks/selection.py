"""What the choice of the round costs: the test AUC that is lost against the round that is best on average.

    python benchmarks/selection.py [--json]
    python benchmarks/selection.py --head conv_s --federations 20 --tested 60 --settings defaults [--json]

200 simulated federations of 2 to 6 sites with 4 to 40 training people each are dealt from one pool of 3,000 encoded
simulated scans (`encoded_pool.py`, `federations.py`). Each is trained in three arms: together (FedAvg), each site
alone, and all scans in one place, with the package's optimiser and several settings. For each choice of the round it
prints, by arm, the mean loss of test AUC against the round that is best on average over all trainings of that arm. The
choices `highest_auc`, … are the package's own (`federation/best_round.py`).

The pool takes about an hour of one core to build and is kept in `runs/pool`; then the linear head takes about seven
minutes of one core, and CONV S for 20 federations about 35.
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, get_args

import joblib
import numpy as np
import torch

from encoded_pool import POOL, build_pool
from federations import ARMS, History, Setting, arms, read_learner
from fedtune3d.federation.best_round import is_best
from fedtune3d.training.settings import BestRound, TrainingSettings

WINDOW = 5
SETTINGS: Mapping[str, Setting] = {
    "defaults": Setting(),
    "learning rate × 10": Setting(TrainingSettings(head_learning_rate=1e-2)),
    "learning rate × 100, 4 passes": Setting(TrainingSettings(head_learning_rate=1e-1, local_epochs=4)),
    "collapses after round 10": Setting(TrainingSettings(head_learning_rate=1e-2), collapse=10),
}
Choice = Callable[[History], float]
"""The test AUC of what is evaluated."""


class Loss(NamedTuple):
    """Mean and standard error of the loss of test AUC over trainings, and the greatest."""

    mean: float
    error: float
    worst: float


def main() -> None:
    """Parse, run, print."""
    parser = parser_of_federations(__doc__)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), help="which settings, by name")
    options = parser.parse_args()
    found = {}
    for name in options.settings:
        found[name] = losses(SETTINGS[name], options)
        print_table(name, found[name])
    if options.json:
        print(json.dumps({"federations": options.federations, "head": options.head, "settings": found}))


def parser_of_federations(description: str | None) -> argparse.ArgumentParser:
    """Create a parser with the options of the simulated federations."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--federations", type=int, default=200)
    parser.add_argument("--head", choices=("linear", "conv_s"), default="linear")
    parser.add_argument("--people", type=int, default=3_000, help="people of the pool")
    parser.add_argument("--pool", type=Path, default=POOL)
    parser.add_argument("--tested", type=int, default=400, help="most people in a site's test set")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    return parser


def losses(setting: Setting, options: argparse.Namespace) -> dict[str, object]:
    """Arm → the round that is best on average, its AUC, and choice → its loss."""
    runs = train_all(setting, options)
    found: dict[str, object] = {}
    for arm in ARMS:
        histories = [history for run in runs for history in run[arm]]
        curve = np.mean([history.tested for history in histories], axis=0)
        best = int(curve.argmax())
        lost = {
            name: _loss([history.tested[best] - choice(history) for history in histories])
            for name, choice in CHOICES.items()
        }
        found[arm] = {"best_round": best + 1, "auc": float(curve[best]), "last": float(curve[-1]), "choices": lost}
    return found


def train_all(setting: Setting, options: argparse.Namespace) -> list[dict[str, list[History]]]:
    """The trainings of every federation, by arm."""
    build_pool(options.pool, options.people, options.workers)
    jobs = (joblib.delayed(_training)(number, setting, options) for number in range(options.federations))
    return joblib.Parallel(n_jobs=options.workers, batch_size=1)(jobs)


def _training(number: int, setting: Setting, options: argparse.Namespace) -> dict[str, list[History]]:
    torch.set_num_threads(1)
    pool, learner = read_learner(options.pool, options.people, options.head)
    return arms(options.seed, number, pool, learner, setting, options.tested)


def _loss(lost: Sequence[float]) -> Loss:
    return Loss(float(np.mean(lost)), float(np.std(lost, ddof=1) / math.sqrt(len(lost))), float(np.max(lost)))


def package_choice(choice: BestRound) -> Choice:
    """A choice of the package."""

    def chosen(history: History) -> float:
        validations = history.validations
        number = max(n for n, part in enumerate(validations) if is_best(part, validations[:n], choice))
        return float(history.tested[number])

    return chosen


def smoothed(values: Sequence[float], window: int = WINDOW) -> np.ndarray:
    """The mean of each value and the `window` − 1 before it."""
    return np.array([fmean(values[max(0, end - window) : end]) for end in range(1, len(values) + 1)])


def at(find: Callable[[History], int]) -> Choice:
    return lambda history: float(history.tested[find(history)])


def aucs(history: History) -> np.ndarray:
    return np.array([part.mean_auc for part in history.validations])


def log_losses(history: History) -> np.ndarray:
    return np.array([part.pooled_loss for part in history.validations])


def within_loss_error(history: History, latest: bool, smooth: int = 1) -> int:
    """The latest or the earliest round whose loss is within one standard error of the lowest."""
    values = smoothed(log_losses(history), smooth)
    lowest = int(values.argmin())
    good = np.flatnonzero(values <= values[lowest] + history.loss_errors[lowest])
    return int(good[-1] if latest else good[0])


CHOICES: dict[str, Choice] = {
    **{name: package_choice(name) for name in get_args(BestRound)},
    "highest AUC, smoothed": at(lambda history: int(smoothed(aucs(history)).argmax())),
    "lowest loss": at(lambda history: int(log_losses(history).argmin())),
    "lowest loss, smoothed": at(lambda history: int(smoothed(log_losses(history)).argmin())),
    "earliest within one error of loss": at(lambda history: within_loss_error(history, latest=False)),
    "latest within one error of loss": at(lambda history: within_loss_error(history, latest=True)),
    "latest within one error of smoothed loss": at(lambda history: within_loss_error(history, latest=True, smooth=5)),
    "last under 10 validation people, else highest AUC": lambda history: (
        float(history.tested[-1]) if history.people[1] < 10 else package_choice("highest_auc")(history)
    ),
    "mean state of the last 5 rounds": lambda history: history.averaged,
}


def print_table(name: str, found: dict[str, object]) -> None:
    """Print the mean losses of all choices in all arms."""
    heads = [
        f"{arm}: round {found[arm]['best_round']}, AUC {found[arm]['auc']:.3f} (last {found[arm]['last']:.3f})"
        for arm in ARMS
    ]
    print(f"\n{name}. Best on average: {'; '.join(heads)}")
    for choice in CHOICES:
        cells = [found[arm]["choices"][choice] for arm in ARMS]
        print(f"  {choice:<42}" + "".join(f"{c.mean:8.4f} ±{c.error:.4f} ({c.worst:.2f})" for c in cells), flush=True)


if __name__ == "__main__":
    main()
