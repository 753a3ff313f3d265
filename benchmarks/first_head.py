"""Which head to begin with on a frozen encoder: test AUC at small sites, by head.

    fedtune3d simulate sites --sites 4 --scans 120 --seed 11
    python benchmarks/first_head.py sites/experiment.yaml --encoder deepbet [--json]

Per seed, each site trains on a few of its people and is tested on all its others; FedAvg and training in one place,
with the rounds and steps that `fedtune3d init` writes. Compared are the linear head, the linear head on features that
are standardised over all scans of the sites (which no head does; it shows what the encoder's scale costs) and CONV S.
The table ends with the paired difference of each from the linear head. It takes a second of CPU per
scan, then two to four minutes per seed.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch

from encoded_pool import Pool
from federations import ConvS, Learner, Linear, auc
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d._utils.seeds import derive_seed
from fedtune3d.config.experiment import Experiment
from fedtune3d.models.assembly import assemble
from fedtune3d.models.encoders import encoder_spec
from fedtune3d.models.tuning import Frozen
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import TrainingSettings
from fedtune3d.workflows.init import MIN_STEPS
from fedtune3d.workflows.sites import make_sites

TRAINING = TrainingSettings(min_steps=MIN_STEPS)
Aucs = dict[str, list[float]]
"""Arm → mean test AUC over sites, a value per seed."""


def main() -> None:
    """Parse, encode, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="file of the sites; its model and splits are not used")
    parser.add_argument("--encoder", default="deepbet")
    parser.add_argument("--train", type=int, default=5, help="people per site to train on")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool = encode(options.experiment, options.encoder)
    scaled = (pool.features - pool.features.mean(axis=0)) / pool.features.std(axis=0)
    heads: dict[str, Learner] = {
        "linear": Linear(pool),
        "linear, standardised features": Linear(pool._replace(features=scaled)),
        "CONV S": ConvS(pool),
    }
    found = {name: test(learner, pool, options.train, range(options.seeds)) for name, learner in heads.items()}
    print_table(found)
    if options.json:
        print(
            json.dumps({"encoder": options.encoder, "people": len(pool.labels), "train": options.train, "auc": found})
        )


def encode(file: Path, encoder: str) -> Pool:
    """The feature maps of all scans of the sites, and their means over positions."""
    experiment = Experiment.from_yaml(file)
    weights = "packaged" if encoder_spec(encoder).is_packaged else "random"
    assembled = assemble(encoder, weights, "linear", Frozen(), seed=0)
    prefix = Prefix(assembled.model, assembled.trainable)
    maps, labels, scanners = [], [], []
    for number, site in enumerate(make_sites(experiment, RunFolder(experiment.output), Silent())):
        for record in site.cohort.records:
            scan = torch.from_numpy(np.load(site.store.get(record)).astype(np.float32))
            maps.append(prefix.encode(scan[None]).numpy().astype(np.float16))
            labels.append(record.label)
            scanners.append(number)
    stacked = np.stack(maps)
    return Pool(stacked.mean(axis=(2, 3, 4), dtype=np.float32), stacked, np.array(labels), np.array(scanners))


def test(learner: Learner, pool: Pool, train: int, seeds: Sequence[int]) -> Aucs:
    """Train together and in one place with each seed, and test at each site."""
    found: Aucs = {"federated": [], "centralized": []}
    for seed in seeds:
        trained, tested = deal(pool, train, seed)
        for arm, sites in (("federated", trained), ("centralized", [np.concatenate(trained)])):
            state = fit(learner, sites, seed)
            aucs = [auc(pool.labels[rows], learner.margins(rows, state)) for rows in tested]
            found[arm].append(fmean(aucs))
    return found


def deal(pool: Pool, train: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Rows of each site to train on, half of each class (one more of the first if odd), and all its others."""
    rng = np.random.default_rng([seed, 7])
    trained, tested = [], []
    for site in np.unique(pool.scanners):
        of_class = [rng.permutation(np.flatnonzero((pool.scanners == site) & (pool.labels == c))) for c in (0, 1)]
        sizes = (train - train // 2, train // 2)
        trained.append(np.concatenate([rows[:size] for rows, size in zip(of_class, sizes, strict=True)]))
        tested.append(np.concatenate([rows[size:] for rows, size in zip(of_class, sizes, strict=True)]))
    return trained, tested


def fit(learner: Learner, sites: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """The state after the last round of FedAvg over the sites; with one of them, plain training."""
    rng, state = np.random.default_rng([seed, 1]), learner.initial(derive_seed(seed, "head"))
    for _ in range(TRAINING.rounds):
        updates = [learner.train(rng, rows, state, TRAINING) for rows in sites]
        state = np.average(updates, axis=0, weights=[len(rows) for rows in sites])
    return state


def print_table(found: Mapping[str, Aucs]) -> None:
    """Print means over seeds, and each head's paired difference from the first, with standard errors."""
    first = next(iter(found.values()))["federated"]
    print(f"{'':32}federated  centralized  difference from the first, federated")
    for name, aucs in found.items():
        differences = [a - b for a, b in zip(aucs["federated"], first, strict=True)]
        error = stdev(differences) / math.sqrt(len(differences))
        means = f"{fmean(aucs['federated']):9.3f}  {fmean(aucs['centralized']):11.3f}"
        print(f"{name:32}{means}  {fmean(differences):+.3f} ± {error:.3f}")


if __name__ == "__main__":
    main()
