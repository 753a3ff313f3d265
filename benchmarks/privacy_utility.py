"""The price of differential privacy: test AUC of a federation at ε = 8, 3, 1 and without.

Four sites have 100 people in training and 50 in test each. A person is a feature map of 384 channels at 4³ positions,
drawn at random in place of an encoder's features of a scan; a few channels tell the classes apart in one octant. The
head is trained by FedAvg with the package's own `training/private.py` and, without ε, by `training/local.py`; the state
after the last round is tested, and the AUC averaged over the sites. For one seed every ε has the same people, initial
head and optimiser. δ is 0.001.

    python benchmarks/privacy_utility.py --json
    python benchmarks/privacy_utility.py --head conv_s --seeds 2

Takes a minute of one core for the linear head; CONV S takes far longer.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from fedtune3d._utils.seeds import derive_seed
from fedtune3d._utils.state_dicts import State
from fedtune3d.config.privacy import DifferentialPrivacy, Sampling
from fedtune3d.federation.privacy.differential_privacy.accounting import mechanism_of
from fedtune3d.models.assembly import AssembledModel, assemble
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Frozen, apply_tuning, read_state
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.draws import SeededDraws
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prediction import predict_logits
from fedtune3d.training.private import Protection, train_privately
from fedtune3d.training.settings import TrainingSettings

SITES, TRAINED, TESTED = 4, 100, 50
CHANNELS, SIDE, TELLING, SIGNAL = 384, 4, 8, 2.0
"""Of a person's map; the channels that tell the classes apart, and by how many standard deviations in the mean."""
DELTA = 1e-3
EPSILONS = (None, 8.0, 3.0, 1.0)


class Setting(NamedTuple):
    """How a head is trained, with and without ε."""

    optimizer: Literal["sgd", "adamw"]
    rate: float
    clip: float


SETTINGS = {"linear": Setting("sgd", rate=1.0, clip=1.0), "conv_s": Setting("adamw", rate=1e-3, clip=1.0)}


class Rows(ScanSet):
    """People, as input to a head."""

    def __init__(self, maps: np.ndarray, labels: np.ndarray, first_stage: int) -> None:
        super().__init__(labels.tolist(), first_stage)
        self.maps = maps

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(self.maps[list(indices)])

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return [0] * count


class Site(NamedTuple):
    """A site's people."""

    train: Rows
    test: Rows


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", choices=sorted(SETTINGS), default="linear")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sampling", choices=["full_batch", "poisson"], default="full_batch")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    aucs: dict[str, list[float]] = {_name(epsilon): [] for epsilon in EPSILONS}
    model = assemble("tiny", "random", "linear", Frozen(), seed=0).model
    assert isinstance(model, Classifier)
    for seed in range(options.seeds):
        sites = _draw(seed, model.stage_count - 1, pooled=options.head == "linear")
        for epsilon in EPSILONS:
            aucs[_name(epsilon)].append(_run(options, model, sites, seed, epsilon))
            print(f"seed {seed}, epsilon {_name(epsilon)}: {aucs[_name(epsilon)][-1]:.3f}", file=sys.stderr, flush=True)
    _print(options, aucs, time.process_time() - began)


def _run(
    options: argparse.Namespace, model: Classifier, sites: Sequence[Site], seed: int, epsilon: float | None
) -> float:
    model.head = build_head(options.head, model.encoder.out_channels, derive_seed(seed, "head"))
    assembled = AssembledModel(model, apply_tuning(model, Frozen()))
    setting = SETTINGS[options.head]
    training = TrainingSettings(
        rounds=options.rounds,
        optimizer=setting.optimizer,
        batch_size=TRAINED if options.sampling == "full_batch" else 8,
        head_learning_rate=setting.rate,
        clip_norm=None,
        class_weighted=False,
    )
    state = read_state(model, assembled.trainable)
    for round_ in range(1, options.rounds + 1):
        updates = [
            _train(options.sampling, assembled, state, site.train, training, epsilon, setting.clip, seed, index, round_)
            for index, site in enumerate(sites)
        ]
        state = {name: torch.stack([update[name] for update in updates]).mean(0) for name in state}
    assembled.write(state)
    return float(np.mean([_auc(model, site.test) for site in sites]))


def _draw(seed: int, first_stage: int, pooled: bool) -> list[Site]:
    """Draw the people of all sites, half of each set positive.

    `pooled` draws means over positions only, in units of their standard deviation: all that the linear head sees.
    """
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(CHANNELS) / 4)
    spread /= np.sqrt(np.square(spread).mean())
    direction = np.zeros(CHANNELS)
    direction[rng.choice(60, TELLING, replace=False)] = 1 / np.sqrt(TELLING)
    octant = np.zeros((SIDE, SIDE, SIDE))
    octant[: SIDE // 2, : SIDE // 2, : SIDE // 2] = 1
    # The mean over positions divides noise by √SIDE³.
    effect = SIGNAL if pooled else SIGNAL * octant / octant.mean() / SIDE**1.5

    def rows(count: int) -> Rows:
        labels = np.arange(count) % 2
        shape = (1, 1, 1) if pooled else (SIDE, SIDE, SIDE)
        noise = rng.standard_normal((count, CHANNELS, *shape), dtype=np.float32)
        shift = (labels - 0.5)[:, None, None, None, None] * direction[:, None, None, None] * effect
        maps = (noise + shift) * spread[:, None, None, None]
        return Rows(maps.astype(np.float32), labels, first_stage)

    return [Site(rows(TRAINED), rows(TESTED)) for _ in range(SITES)]


def _train(
    sampling: Sampling,
    assembled: AssembledModel,
    state: State,
    data: Rows,
    training: TrainingSettings,
    epsilon: float | None,
    clip: float,
    seed: int,
    index: int,
    round_: int,
) -> State:
    local_round = LocalRound(seed, f"site-{index}", round_, training.rounds)
    if epsilon is None:
        train_locally(assembled, state, data, training, local_round)
    else:
        privacy = DifferentialPrivacy(epsilon, DELTA, clip, sampling)
        mechanism = mechanism_of(privacy, training, TRAINED, training.rounds)
        people = [str(scan) for scan in range(len(data))]
        protection = Protection(mechanism, clip, SeededDraws(local_round))
        train_privately(assembled, state, data, people, training, protection, local_round)
    return read_state(assembled.model, assembled.trainable)


def _auc(model: Classifier, data: Rows) -> float:
    logits = predict_logits(model, data)
    return float(roc_auc_score(data.labels.numpy(), logits[:, 1] - logits[:, 0]))


def _name(epsilon: float | None) -> str:
    return "none" if epsilon is None else f"{epsilon:g}"


def _print(options: argparse.Namespace, aucs: dict[str, list[float]], seconds: float) -> None:
    setting, plain = SETTINGS[options.head], np.array(aucs["none"])
    training = TrainingSettings(rounds=options.rounds, batch_size=8)
    print(
        f"head {options.head}, {options.sampling}, {options.rounds} rounds, {setting.optimizer} at {setting.rate:g}, "
        f"clip {setting.clip:g}; {SITES} sites of {TRAINED} people in training; mean ± SD over {len(plain)} seeds"
    )
    print(f"{'epsilon':>8} {'noise':>7} {'test AUC':>15} {'price':>15}")
    table = []
    for name, values in aucs.items():
        noise = 0.0
        if name != "none":
            privacy = DifferentialPrivacy(float(name), DELTA, setting.clip, options.sampling)
            noise = mechanism_of(privacy, training, TRAINED, options.rounds).noise_multiplier
        found, price = np.array(values), plain - np.array(values)
        print(f"{name:>8} {noise:>7.2f} {_mean_and_sd(found):>15} {_mean_and_sd(price):>15}")
        table.append({"epsilon": name, "noise_multiplier": noise, "auc": values, "price": price.tolist()})
    print(f"{seconds:.0f} s of one core")
    if options.json:
        print(json.dumps({"head": options.head, "sampling": options.sampling, "rounds": options.rounds, "rows": table}))


def _mean_and_sd(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) if len(values) > 1 else 0:.3f}"


if __name__ == "__main__":
    main()
