"""Small federations for benchmarks: people dealt from a pool of encoded scans, trained as in `training/local.py`.

Each federation has 2 to 6 sites, each with a scanner of its own, 4 to 40 training people, and validation sets of 2/5 as
many; the scanner's other people are its test set. Three arms start from the same head: the federation (FedAvg), each
site alone, and all scans in one place.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from scipy.stats import rankdata
from torch.nn import functional

from encoded_pool import SCANNERS, Pool, read_pool
from fedtune3d._utils.seeds import derive_seed
from fedtune3d.federation.best_round import mean_auc_error
from fedtune3d.federation.ledger import Validation
from fedtune3d.models.heads import build_head
from fedtune3d.training.losses import class_weights
from fedtune3d.training.optimisation import build_optimizer, learning_rates
from fedtune3d.training.scores import Scores
from fedtune3d.training.settings import TrainingSettings

LAST = 5
"""Rounds whose states are averaged at the end."""
ARMS = ("federated", "local", "centralized")


class Site(NamedTuple):
    """Rows of the pool."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class History(NamedTuple):
    """One training.

    Attributes:
        tested: Mean test AUC over the sites after each round.
        validations: What the server knows of each round.
        loss_errors: Standard error of each round's pooled validation loss, over scans.
        averaged: Test AUC of the mean state of the last rounds.
        people: People in training, and in validation.
    """

    tested: np.ndarray
    validations: list[Validation]
    loss_errors: list[float]
    averaged: float
    people: tuple[int, int]


class Learner(Protocol):
    """A head that is trained on rows of the pool; its state is one vector."""

    def initial(self, seed: int) -> np.ndarray: ...
    def train(
        self, rng: np.random.Generator, rows: np.ndarray, state: np.ndarray, settings: TrainingSettings
    ) -> np.ndarray: ...
    def margins(self, rows: np.ndarray, state: np.ndarray) -> np.ndarray: ...


def deal(rng: np.random.Generator, pool: Pool, most_tested: int) -> list[Site]:
    """The sites of a federation, each with both classes in every set."""
    count = int(rng.integers(2, 7))
    sites = []
    for scanner in rng.permutation(SCANNERS)[:count]:
        rows = [
            rng.permutation(np.flatnonzero((pool.scanners == scanner) & (pool.labels == label))) for label in (0, 1)
        ]
        left = [list(of_class) for of_class in rows]
        train, share = int(np.exp(rng.uniform(np.log(4), np.log(40)))), rng.uniform(0.35, 0.65)
        sets = []
        for size in (train, max(2, round(0.4 * train))):
            positives = min(size - 1, max(1, round(size * share)))
            sets.append([left[1].pop() for _ in range(positives)] + [left[0].pop() for _ in range(size - positives)])
        test = [of_class[: most_tested // 2] for of_class in left]
        sites.append(Site(np.array(sets[0]), np.array(sets[1]), np.array(test[0] + test[1])))
    return sites


class Setting(NamedTuple):
    """How to train; after `collapse` rounds the state that is tested and validated is that of the start."""

    training: TrainingSettings = TrainingSettings()
    collapse: int | None = None


def arms(
    seed: int, number: int, pool: Pool, learner: Learner, setting: Setting, most_tested: int
) -> dict[str, list[History]]:
    """Arm → its trainings: one of the federation, one per site alone, and one on all scans."""
    sites = deal(np.random.default_rng([seed, number]), pool, most_tested)
    initial = learner.initial(derive_seed(seed, number, "head"))
    everybody = [Site(*(np.concatenate(sets) for sets in zip(*sites, strict=True)))]
    rng = np.random.default_rng([seed, number, 1])
    tests = [site.test for site in sites]
    return {
        "federated": [history(rng, sites, tests, pool, learner, setting, initial)],
        "local": [history(rng, [site], [site.test], pool, learner, setting, initial) for site in sites],
        "centralized": [history(rng, everybody, tests, pool, learner, setting, initial)],
    }


def history(
    rng: np.random.Generator,
    sites: Sequence[Site],
    tests: Sequence[np.ndarray],
    pool: Pool,
    learner: Learner,
    setting: Setting,
    initial: np.ndarray,
) -> History:
    """Train by FedAvg over the sites, and test after each round."""
    state, sizes = initial, [len(site.train) for site in sites]
    states, tested, validations, errors = [], [], [], []
    for round_ in range(1, setting.training.rounds + 1):
        updates = [learner.train(rng, site.train, state, setting.training) for site in sites]
        state = np.average(updates, axis=0, weights=sizes)
        shown = initial if setting.collapse is not None and round_ > setting.collapse else state
        states = [*states[1 - LAST :], shown]
        tested.append(_mean_auc(tests, pool, learner, shown))
        validation, error = validate(round_, sites, pool, learner, shown)
        validations.append(validation)
        errors.append(error)
    averaged = _mean_auc(tests, pool, learner, np.mean(states, axis=0))
    people = (sum(sizes), sum(len(site.validation) for site in sites))
    return History(np.array(tested), validations, errors, averaged, people)


def _mean_auc(tests: Sequence[np.ndarray], pool: Pool, learner: Learner, state: np.ndarray) -> float:
    return float(np.mean([auc(pool.labels[rows], learner.margins(rows, state)) for rows in tests]))


def validate(
    round_: int, sites: Sequence[Site], pool: Pool, learner: Learner, state: np.ndarray
) -> tuple[Validation, float]:
    """As the server makes it of what the sites send; and the standard error of the pooled loss."""
    scores, losses = [], []
    for site in sites:
        labels, margins = pool.labels[site.validation], learner.margins(site.validation, state)
        of_scans = np.logaddexp(0, np.where(labels == 1, -margins, margins))
        scores.append(Scores(auc(labels, margins), None, float(of_scans.mean()), len(labels), None))
        losses.append(of_scans)
    everyone = np.concatenate(losses)
    aucs = [part.auc for part in scores if part.auc is not None]
    validation = Validation(round_, float(np.mean(aucs)), float(everyone.mean()), mean_auc_error(scores))
    return validation, float(everyone.std(ddof=1) / math.sqrt(len(everyone)))


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The area under the ROC curve."""
    positives = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(labels) - positives)))


class Linear:
    """A linear layer over the octants: its state is the difference of its two rows, with that of the biases last.

    The gradients of the two rows are each other's negative, so that AdamW moves the difference by twice a row's step,
    and the norm of both gradients is √2 that of one.
    """

    def __init__(self, pool: Pool) -> None:
        self.features, self.labels = pool.features, pool.labels

    def initial(self, seed: int) -> np.ndarray:
        """The difference of the rows that `build_head` draws."""
        head = build_head("linear", self.features.shape[1], seed)
        weight, bias = (tensor.detach().double().numpy() for tensor in head.parameters())
        return np.append(weight[1] - weight[0], bias[1] - bias[0])

    def train(
        self, rng: np.random.Generator, rows: np.ndarray, state: np.ndarray, settings: TrainingSettings
    ) -> np.ndarray:
        """One round at a site: AdamW from fresh moments."""
        features, labels, rate = self.features[rows].astype(float), self.labels[rows], settings.head_learning_rate
        state, first, second = state.copy(), np.zeros_like(state), np.zeros_like(state)
        weights = len(labels) / (2 * np.bincount(labels, minlength=2))[labels]
        for step, batch in enumerate(batches(rng, len(rows), settings), start=1):
            margins = features[batch] @ state[:-1] + state[-1]
            errors = (1 / (1 + np.exp(-margins)) - labels[batch]) * weights[batch] / len(batch)
            gradient = np.append(errors @ features[batch], errors.sum())
            norm = math.sqrt(2) * float(np.linalg.norm(gradient))
            gradient = gradient / max(1.0, norm / (settings.clip_norm or math.inf))
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            state[:-1] *= 1 - rate * settings.weight_decay
            state -= 2 * rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        return state

    def margins(self, rows: np.ndarray, state: np.ndarray) -> np.ndarray:
        """(n,) log-odds."""
        return self.features[rows] @ state[:-1].astype(np.float32) + state[-1]


class ConvS:
    """CONV S, the package's own network and optimiser."""

    def __init__(self, pool: Pool) -> None:
        self.maps, self.labels = pool.maps, torch.from_numpy(pool.labels)
        self.head = build_head("conv_s", self.maps.shape[1], 0)
        self.parameters = {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}

    def initial(self, seed: int) -> np.ndarray:
        """The parameters that `build_head` draws, as one vector."""
        head = build_head("conv_s", self.maps.shape[1], seed)
        return torch.nn.utils.parameters_to_vector(head.parameters()).detach().numpy()

    def train(
        self, rng: np.random.Generator, rows: np.ndarray, state: np.ndarray, settings: TrainingSettings
    ) -> np.ndarray:
        """One round at a site."""
        self._write(state)
        optimizer = build_optimizer(self.parameters, learning_rates(self.parameters, settings, 1, 1), settings)
        weights = class_weights(self.labels[rows])
        for batch in batches(rng, len(rows), settings):
            labels = self.labels[rows[batch]]
            losses = functional.cross_entropy(self.head(self._inputs(rows[batch])), labels, reduction="none")
            ((losses * weights[labels]).sum() / len(batch)).backward()
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), settings.clip_norm or math.inf)
            optimizer.step()
            self.head.zero_grad(set_to_none=True)
        return torch.nn.utils.parameters_to_vector(self.parameters.values()).detach().numpy().copy()

    def margins(self, rows: np.ndarray, state: np.ndarray) -> np.ndarray:
        """(n,) log-odds."""
        self._write(state)
        with torch.inference_mode():
            logits = self.head(self._inputs(rows)).double()
        return (logits[:, 1] - logits[:, 0]).numpy()

    def _write(self, state: np.ndarray) -> None:
        vector = torch.from_numpy(np.asarray(state, np.float32))
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(vector.clone(), self.parameters.values())

    def _inputs(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.maps[rows]).float()


@lru_cache(maxsize=1)
def read_learner(folder: Path, people: int, head: str) -> tuple[Pool, Learner]:
    """The pool and what is trained on it, read once by each process."""
    pool = read_pool(folder, people, workers=1)
    return pool, ConvS(pool) if head == "conv_s" else Linear(pool)


def batches(rng: np.random.Generator, scans: int, settings: TrainingSettings) -> list[np.ndarray]:
    """The shuffled batches of a round."""
    found = []
    for _ in range(settings.passes(scans)):
        order = rng.permutation(scans)
        found += [order[start : start + settings.batch_size] for start in range(0, scans, settings.batch_size)]
    return found
