"""Heads painted from ten real anatomies, at four sites, with the README's defaults: `fedtune3d init --encoder deepbet`.

    python benchmarks/painted_heads.py --anatomies …/anatomies [--encoder vit_b --head linear --min-steps 0] --json

Each site scans all ten people on its scanner; a person is in the same split at every site. The file is the one that
`init` writes for the encoder, and the seed decides splits, head, order and an encoder's random weights. Printed is the
mean test AUC over sites of the federated, the local and the centralized models. The folder (`runs/heads`) keeps scans,
features and runs: a call that was stopped continues.

With ten people a test set holds one or two of each class, so that the AUC of a seed takes few values; the mean over
seeds is what counts.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean, stdev

import joblib
import torch
import yaml

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import RunFolder
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.metrics import read_metrics
from fedtune3d.models.encoders import encoder_spec
from fedtune3d.simulation import simulate_sites
from fedtune3d.workflows.init import write_experiment
from fedtune3d.workflows.run import run_experiment

SITES, PEOPLE, SIMULATION_SEED = 4, 10, 1
ARMS = ("federated", "local", "centralized")
Aucs = dict[str, float | None]
"""Arm → mean test AUC over sites; None if no site has both classes."""


def main() -> None:
    """Parse, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomies", type=Path, required=True, help="folder of label maps with anatomies.tsv")
    parser.add_argument("--folder", type=Path, default=Path("runs/heads"))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--encoder", default="deepbet")
    parser.add_argument("--head", help="in place of the one that init writes")
    parser.add_argument("--min-steps", type=int, help="in place of those that init writes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="run nothing; print what is finished")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    file = options.folder.absolute() / "experiment.yaml"
    if not options.table:
        sites = simulate_sites(
            options.folder, SITES, SITES * PEOPLE, SIMULATION_SEED, options.anatomies, 1, options.workers
        )
        if not file.exists():
            write_experiment(sites, file)
    experiments = [experiment_of(file, seed, options) for seed in range(options.seeds)]
    if not options.table:
        joblib.Parallel(n_jobs=options.workers)(joblib.delayed(run_seed)(experiment) for experiment in experiments)
    aucs = {one.seed: aucs_of(one) for one in experiments if RunFolder(one.output).metrics.exists()}
    print_table(aucs)
    if options.json:
        print(
            json.dumps(
                {"sites": SITES, "people": PEOPLE, "runs": experiments[0].output.name.rpartition("-")[0], "seeds": aucs}
            )
        )


def experiment_of(file: Path, seed: int, options: argparse.Namespace) -> Experiment:
    """The experiment of `init` with another seed, one thread, and what the options change."""
    values = yaml.safe_load(file.read_text())
    values["model"] = {"encoder": options.encoder, "head": options.head or encoder_spec(options.encoder).head}
    if options.min_steps is not None:
        values["training"]["min_steps"] = options.min_steps
    steps = values["training"].get("min_steps", 0)
    name = f"{values['model']['encoder']}-{values['model']['head']}-steps{steps}-seed{seed}"
    changed = file.with_name(f"{name}.yaml")
    write_text(changed, yaml.safe_dump(values | {"seed": seed, "threads": 1, "workers": 1, "output": f"runs/{name}"}))
    return Experiment.from_yaml(changed)


def run_seed(experiment: Experiment) -> None:
    """Run a seed to its end, in one thread."""
    torch.set_num_threads(1)
    if not RunFolder(experiment.output).metrics.exists():
        run_experiment(experiment, resume=True, report=False)


def aucs_of(experiment: Experiment) -> Aucs:
    """The mean test AUC over sites of each arm."""
    methods = read_metrics(RunFolder(experiment.output).metrics).methods
    return {arm: methods[arm].mean_auc.value for arm in ARMS}


def print_table(aucs: dict[int, Aucs]) -> None:
    """Print a row per seed, then the mean and standard deviation over seeds."""
    for seed, row in aucs.items():
        print(f"seed {seed}  " + "  ".join(f"{arm} {_shown(row[arm])}" for arm in ARMS))
    known = {arm: [value for row in aucs.values() if (value := row[arm]) is not None] for arm in ARMS}
    for arm, values in known.items():
        if len(values) > 1:
            print(f"{arm:12} {fmean(values):.3f} ± {stdev(values):.3f} over {len(values)} seeds")
    if known["federated"] and known["centralized"]:
        print(f"federated − centralized {fmean(known['federated']) - fmean(known['centralized']):+.3f}")


def _shown(value: float | None) -> str:
    return "   –" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
