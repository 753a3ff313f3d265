"""How well pooled training tells the classes of a simulated cohort apart: the effect size of the simulation.

Simulates sites, prepares the scans, encodes them with the random-weight SAM-Med3D ViT-B and trains CONV S on the frozen
features of all sites' training scans, once a seed. The seed decides the splits, the head and the order of training; the
encoder's random weights are those of `--encoder-seed`. The epoch is chosen by the validation AUC.

    python benchmarks/effect_size.py --folder effect_size --json

A second call with the same folder goes on with what is there. 600 scans take about 4 GB of disk.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from fedtune3d._utils.progress import Bars
from fedtune3d._utils.seeds import derive_seed
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.reading import read_site
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.splits import assign_splits, count_groups
from fedtune3d.models.assembly import AssembledModel, assemble
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Frozen, apply_tuning, read_state
from fedtune3d.preparation.prepare_all import prepare_all
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.simulation import simulate_sites
from fedtune3d.training.dataset import FeatureSet, LabelledScan, ScanSet, open_scans
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.scores import score
from fedtune3d.training.settings import TrainingSettings

LABELS = LabelMapping(positive=("AD",), negative=("CN",))


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("effect_size"), help="where scans and features are kept")
    parser.add_argument("--scans", type=int, default=600)
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--simulation-seed", type=int, default=1)
    parser.add_argument("--encoder-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with Bars(Console(stderr=True)) as bars:
        prepared = simulate_and_prepare(options, bars)
        files = encode(options, prepared, bars)
        with bars.bar("training") as advance:
            results = []
            for done, seed in enumerate(options.seeds):
                advance(done, len(options.seeds))
                results.append(train_pooled(options, files, seed))
    aucs = np.array([result["test_auc"] for result in results])
    for result in results:
        print(
            "seed {seed}: test AUC {test_auc:.3f} at epoch {epoch} (validation {validation_auc:.3f})".format(**result)
        )
    print(f"mean test AUC {aucs.mean():.3f} ± {aucs.std(ddof=1) if len(aucs) > 1 else 0:.3f} over {len(aucs)} seeds")
    print(f"{options.scans} simulated scans, {options.sites} sites; random encoder weights")
    if options.json:
        print(json.dumps({"mean_test_auc": float(aucs.mean()), "scans": options.scans, "seeds": results}))


def simulate_and_prepare(options: argparse.Namespace, bars: Bars) -> dict[ScanRecord, Path]:
    """Every scan's record and prepared file."""
    with bars.bar("simulating") as advance:
        folders = simulate_sites(
            options.folder / "sites",
            options.sites,
            options.scans,
            options.simulation_seed,
            workers=options.threads,
            progress=advance,
        )
    records = [record for folder in folders for record in read_site(folder, folder.name, LABELS).records]
    with bars.bar("preparing") as advance:
        store = PreparedStore(options.folder / "prepared")
        return prepare_all(records, store, workers=options.threads, progress=advance).paths


def encode(options: argparse.Namespace, prepared: dict[ScanRecord, Path], bars: Bars) -> dict[ScanRecord, Path]:
    """Every scan's file of features under the random encoder."""
    assembled = assemble("vit_b", "random", "conv_s", Frozen(), options.encoder_seed)
    scans = [LabelledScan(path, record.label, record.site) for record, path in prepared.items()]
    with bars.bar("encoding") as advance:
        cache = FeatureCache(options.folder / "features")
        features = open_scans(scans, Prefix(assembled.model, assembled.trainable), cache, InputSpec(), progress=advance)
    assert isinstance(features, FeatureSet)
    return {record: views[0] for record, views in zip(prepared, features.files, strict=True)}


def train_pooled(options: argparse.Namespace, files: dict[ScanRecord, Path], seed: int) -> dict[str, float]:
    """The test AUC of the epoch with the best validation AUC (ties: the lower validation loss)."""
    assembled = assemble("vit_b", "random", "conv_s", Frozen(), options.encoder_seed)
    model, answer = assembled.model, assembled.trainable
    assert isinstance(model, Classifier)
    model.head = build_head("conv_s", model.encoder.out_channels, derive_seed(seed, "head"))
    answer = apply_tuning(model, Frozen())
    trained, current = AssembledModel(model, answer), read_state(model, answer)
    sets = {split: pooled_set(files, seed, split, answer.prefix_end) for split in ("train", "validation", "test")}
    best: tuple[float, float] = (-1.0, 0.0)
    for epoch in range(1, options.epochs + 1):
        occasion = LocalRound(seed, "pooled", epoch, options.epochs)
        train_locally(trained, current, sets["train"], TrainingSettings(), occasion)
        current = read_state(model, answer)
        validation = score(trained, current, sets["validation"])
        if (validation.auc, -validation.loss) > best:
            best, best_epoch, state = (validation.auc, -validation.loss), epoch, current
    test = score(trained, state, sets["test"])
    return {"seed": seed, "test_auc": test.auc, "epoch": best_epoch, "validation_auc": best[0]}


def pooled_set(files: dict[ScanRecord, Path], seed: int, split: str, first_stage: int) -> ScanSet:
    """All sites' scans of one split; each site is split on its own."""
    chosen: list[ScanRecord] = []
    for site in sorted({record.site for record in files}):
        records = [record for record in files if record.site == site]
        splits = assign_splits(count_groups(records), seed, site)
        chosen += [record for record in records if splits[record.group_id] == split]
    return FeatureSet([[files[record]] for record in chosen], [record.label for record in chosen], first_stage)


if __name__ == "__main__":
    main()
