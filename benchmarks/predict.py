"""CPU seconds per raw head of `predict` and of `predict --explain`, by what they are spent on.

    python benchmarks/predict.py DATA FOLDER [--encoder vit_b] [--heads 1] [--occlusion] [--json]

DATA holds `scans/` with real heads, with their skull. FOLDER gets two simulated sites and a run of one round on them,
with random weights, which are kept for the next time. One process, one thread; the median over the heads, each after
the model has been loaded. The floor is the preparation and one forward pass, without which there is no prediction that
could be explained. With `--json` the last line is one JSON object.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.config.experiment import Experiment
from fedtune3d.simulation.simulate import simulate_sites
from fedtune3d.workflows.explain import explainer
from fedtune3d.workflows.predict import Predictor
from fedtune3d.workflows.run import run_experiment

T = TypeVar("T")


@dataclass(frozen=True)
class HeadCost:
    """CPU seconds of a head: to prepare it, to predict it, and to explain the prediction."""

    prepare: float
    predict: float
    explain: float

    @property
    def all(self) -> float:
        """Everything that `predict --explain` does with a head."""
        return self.prepare + self.predict + self.explain


def finished_run(folder: Path, encoder: str) -> Path:
    """The folder of a run of one round with an encoder, made if it is not there."""
    roots = simulate_sites(folder / "hospitals", 2, 52, 1)
    output = folder / f"run-{encoder}"
    experiment = Experiment.model_validate(
        {
            "name": "predict",
            "sites": [{"name": root.name, "root": root} for root in roots],
            "labels": {"positive": ["AD"], "negative": ["CN"]},
            "model": {"encoder": encoder, "head": "conv_s"},
            "training": {"rounds": 1},
            "output": output,
            "cache": folder / "cache",
            "threads": 1,
        }
    )
    if not RunFolder(output).metrics.exists():
        run_experiment(experiment, resume=True, report=False)
    return output


def measure(predictor: Predictor, heads: Sequence[Path], folder: Path, occluded: bool) -> list[HeadCost]:
    """What each head costs."""
    explain = explainer(predictor, folder / "maps", Silent(), lambda path: None, occluded)
    costs = []
    for head in heads:
        prepare, prepared = timed(lambda head=head: predictor.prepare(head))
        predict, prediction = timed(lambda head=head, prepared=prepared: predictor.predict(head, prepared, head.name))
        explained, _ = timed(lambda prediction=prediction, prepared=prepared: explain(prediction, prepared))
        costs.append(HeadCost(prepare, predict, explained))
    return costs


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of this process, and what was made."""
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="vit_b")
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--occlusion", action="store_true", help="explain by occlusion, too")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    heads = sorted((options.data / "scans").glob("*_T1w.nii.gz"))[: options.heads]
    if not heads:
        parser.error(f"{options.data / 'scans'}: expected heads, *_T1w.nii.gz, found none")
    torch.set_num_threads(1)
    folder = options.folder.resolve()
    predictor = Predictor(finished_run(folder, options.encoder))
    costs = measure(predictor, heads, folder, options.occlusion)
    found = {
        name: statistics.median(values[name] for values in map(asdict, costs))
        for name in ("prepare", "predict", "explain")
    }
    found["all"] = statistics.median(cost.all for cost in costs)
    found["floor"] = found["prepare"] + found["predict"]
    print(f"{options.encoder}, {len(costs)} heads with skull, one thread; CPU seconds per head, median")
    for name, seconds in found.items():
        print(f"  {name:8} {seconds:8.2f}")
    if options.json:
        print(json.dumps({name: round(seconds, 2) for name, seconds in found.items()} | {"heads": len(costs)}))


if __name__ == "__main__":
    main()
