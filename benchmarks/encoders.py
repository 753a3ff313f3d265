"""What encoders cost, how well MeshNet's structures agree with label maps, and how deepbet's stages were chosen.

    python benchmarks/encoders.py speed [ENCODER …] [--json]          # forward, backward, peak memory, floor, reference
    python benchmarks/encoders.py dice ANATOMIES WEIGHTS              # MeshNet on painted label maps
    python benchmarks/encoders.py choose-deepbet demo/experiment.yaml # on training scans, after `make demo`
    python benchmarks/encoders.py scale-deepbet ref/experiment.yaml   # prints the numbers of `deepbet_scale.py`

`speed` times each encoder in a process of its own on one scan of noise (`encoder_speed.py`). Its reference is the
network of the package that the encoder's authors build on (medim, MONAI, deepbet's TorchScript, nnU-Net's residual
encoder), with the same weights, on the same scan in the same process; MeshNet's is a plain chain of convolutions. With
`--json` the last line is one JSON object. The numbers of `deepbet_scale.py` are from `fedtune3d simulate ref --sites 6
--scans 156 --seed 99`.
"""

import argparse
from pathlib import Path

import nibabel
import numpy as np
import torch
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from encoder_speed import print_speed
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.cohorts.splits import read_splits
from fedtune3d.config.experiment import Experiment
from fedtune3d.models.encoders import build_encoder, encoder_names
from fedtune3d.models.encoders.contract import Encoder, initialise_random
from fedtune3d.models.encoders.deepbet import DeepbetEncoder
from fedtune3d.models.encoders.networks.link_net import WIDTHS
from fedtune3d.models.encoders.networks.mesh_net import CLASSES, DILATIONS, run_layer
from fedtune3d.models.packaged_weights import load_packaged_weights
from fedtune3d.models.weights import load_encoder_weights
from fedtune3d.workflows.sites import make_sites

STRUCTURES = {"hippocampus": (17, 53), "lateral ventricle": (4, 43), "thalamus": (10, 49), "caudate": (11, 50)}
GREY = (3, 42, 8, 47, 17, 53, 18, 54, 11, 50, 26, 58)
FLUID = (4, 43, 5, 44, 14, 15, 24)


def main() -> None:
    """Parse and run a subcommand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed")
    speed.add_argument("encoders", nargs="*", default=encoder_names())
    speed.add_argument(
        "--max-training-size",
        type=int,
        default=128,
        help="largest scan of which the backward pass is timed; above 128 it takes tens of GB (default %(default)s)",
    )
    speed.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    dice = commands.add_parser("dice")
    dice.add_argument("anatomies", type=Path)
    dice.add_argument("weights", type=Path)
    dice.add_argument("--first", type=int, default=10, help="how many label maps")
    commands.add_parser("choose-deepbet").add_argument("experiment", type=Path)
    commands.add_parser("scale-deepbet").add_argument("experiment", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.command == "dice":
        print_dice(options.anatomies, options.weights, options.first)
    elif options.command == "choose-deepbet":
        choose_deepbet(options.experiment)
    elif options.command == "scale-deepbet":
        print_scale(options.experiment)
    else:
        print_speed(options.encoders, options.threads, options.max_training_size, options.json)


def print_dice(folder: Path, weights: Path, first: int) -> None:
    """Paint each label map as a T1-weighted brain at 1 mm, segment it, and compare."""
    encoder = build_encoder("meshnet").eval()
    load_encoder_weights(encoder, weights)
    rows = []
    for path in sorted(folder.glob("*.nii.gz"))[:first]:
        image = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_filename(path))
        labels = np.asarray(image.dataobj).round().astype(int)
        brain = (labels > 0) & (labels < 100)
        box = tuple(slice(max(0, part.start - 4), part.stop + 4) for part in ndimage.find_objects(brain.astype(int))[0])
        found = segment(encoder, paint(labels[box], brain[box]))
        rows.append(
            [overlap(found == CLASSES.index(name), np.isin(labels[box], of)) for name, of in STRUCTURES.items()]
        )
        named = ", ".join(f"{name} {value:.2f}" for name, value in zip(STRUCTURES, rows[-1], strict=True))
        print(f"{path.name}: Dice {named}", flush=True)
    means = ", ".join(f"{name} {value:.2f}" for name, value in zip(STRUCTURES, np.mean(rows, axis=0), strict=True))
    print(f"mean of {len(rows)}: Dice {means}")


def paint(labels: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """A T1-weighted brain of a label map, from 0 to 1: a value per tissue, blur, noise."""
    tissues = [~brain, np.isin(labels, FLUID), np.isin(labels, GREY), np.isin(labels, (10, 49))]
    values = ndimage.gaussian_filter(np.select(tissues, [0.0, 22.0, 75.0, 90.0], 110.0), 0.5)
    values += np.random.default_rng(0).normal(0, 2.5, labels.shape)
    painted = np.clip(values, 0, None) * brain
    return np.asarray(painted / painted.max(), np.float32)


def segment(encoder: nn.Module, scan: np.ndarray) -> np.ndarray:
    """The class of each voxel, axes RAS."""
    x = torch.from_numpy(scan)[None, None]
    with torch.inference_mode():
        for number in range(len(DILATIONS) + 1):
            x = run_layer(encoder.get_submodule("model"), x, number)  # type: ignore[arg-type]
    return np.asarray(x[0].argmax(dim=0).numpy())


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Dice's coefficient."""
    return float(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))


def choose_deepbet(path: Path) -> None:
    """Cross-validated AUC of each of deepbet's stages on every second training scan of a finished run."""
    experiment = Experiment.from_yaml(path)
    folder = RunFolder(experiment.output)
    scans = []
    for site in make_sites(experiment, folder, Silent()):
        splits = read_splits(folder.site(site.name).splits)
        for record in site.cohort.records:
            if splits[record.group_id] == "train":
                scans.append((site.store.get(record), record.label, f"{site.name} {record.group_id}"))
    scans = scans[::2]
    labels, groups = np.array([scan[1] for scan in scans]), np.array([scan[2] for scan in scans])
    for weights in ("packaged", "random"):
        encoder = DeepbetEncoder().eval()
        if weights == "packaged":
            load_packaged_weights(encoder)
        else:
            initialise_random(encoder, 0)
        pooled = np.stack([pool(encoder, prepared) for prepared, _, _ in scans])
        ends = np.cumsum((0, *WIDTHS))
        parts = {f"stage {n + 1}": pooled[:, ends[n] : ends[n + 1]] for n in range(len(WIDTHS))} | {"all": pooled}
        for name, features in parts.items():
            print(f"{weights}, {name}: AUC {validated(features, labels, groups):.2f} ({len(labels)} scans)", flush=True)


def print_scale(path: Path) -> None:
    """Mean and standard deviation over all scans of deepbet's pooled features before they are scaled."""
    experiment = Experiment.from_yaml(path)
    encoder = DeepbetEncoder().eval()
    load_packaged_weights(encoder)
    encoder.scale = nn.Identity()  # type: ignore[assignment]
    sites = make_sites(experiment, RunFolder(experiment.output), Silent())
    pooled = np.stack([pool(encoder, site.store.get(record)) for site in sites for record in site.cohort.records])
    for name, values in (("MEAN", pooled.mean(axis=0, dtype=float)), ("DEVIATION", pooled.std(axis=0, ddof=1))):
        print(f"{name} = (" + ", ".join(f"{value:.5g}" for value in values) + ")")


def pool(encoder: Encoder, prepared: Path) -> np.ndarray:
    """The mean of a scan's features over positions, (channels,)."""
    scan = torch.from_numpy(np.load(prepared).astype(np.float32))[None, None]
    with torch.inference_mode():
        return np.asarray(encoder(scan)[0].mean(dim=(1, 2, 3)).numpy())


def validated(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """Mean AUC of five repetitions of five-fold cross-validation, people apart."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    scores = []
    for seed in range(5):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        found = cross_val_predict(model, features, labels, groups=groups, cv=folds, method="predict_proba")[:, 1]
        scores.append(float(roc_auc_score(labels, found)))
    return float(np.mean(scores))


if __name__ == "__main__":
    main()
