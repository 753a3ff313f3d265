"""What each rule does with a site whose labels are flipped and a site that sends noise.

Takes an experiment of simulated sites (`fedtune3d simulate`), flips the labels of the first site, replaces what the
second site sends by the state it received plus Gaussian noise, runs every rule, and prints the mean test AUC over the
other sites beside the weight that each rule gave to the two. Each run folder has its report.

    fedtune3d simulate demo --sites 4 --scans 200 --seed 1
    python benchmarks/bad_sites.py demo/experiment.yaml [--rules fedavg fedce …] [--rounds 10] [--noise 0.3] [--json]
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from fedtune3d._utils.progress import Bars
from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_step import STATE
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.config.experiment import AggregationSection, Experiment
from fedtune3d.federation.in_process import Answering, InProcess
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.run_folder import read_metrics

OPTIONS = {"rate_my_lora": {"temperature": 0.02}}
RULES = [
    "simpleavg",
    "fedavg",
    "fedprox",
    "fedavgm",
    "qfedavg",
    "fedce",
    "rate_my_lora",
    "median",
    "trimmed_mean",
    "krum",
]


class Noisy:
    """A site that trains, then sends what it received plus noise instead of what it trained."""

    def __init__(self, name: str, site: Answering, noise: float) -> None:
        self.name, self.site, self.noise = name, site, noise

    def answer(self, task: Task) -> Answer:
        """As the site answers, with noise for a state."""
        answer = self.site.answer(task)
        if task.kind != "train":
            return answer
        rng = torch_rng("noise", self.name, task.round)
        state: State = {
            name: tensor + self.noise * torch.randn(tensor.shape, generator=rng)
            for name, tensor in sorted(task.parts[STATE].items())
        }
        return dataclasses.replace(answer, parts={**answer.parts, STATE: state})


def run_rule(experiment: Experiment, rule: str, rounds: int, noise: float) -> dict[str, Any]:
    """Run one rule with the two bad sites; the row of the table."""
    flipped, noisy, *honest = (site.name for site in experiment.sites)
    labels = experiment.labels
    assert labels is not None
    swapped = LabelMapping(positive=labels.negative, negative=labels.positive)
    sites = tuple(
        site.model_copy(update={"labels": swapped}) if site.name == flipped else site for site in experiment.sites
    )
    changes = {
        "sites": sites,
        "aggregation": AggregationSection.model_validate({"rule": rule, **OPTIONS.get(rule, {})}),
        "training": dataclasses.replace(experiment.training, rounds=rounds),
        "baselines": (),
        "output": experiment.output.with_name(f"bad-sites-{rule}"),
    }

    def reach(sites: Mapping[str, Answering]) -> InProcess:
        return InProcess({name: Noisy(name, site, noise) if name == noisy else site for name, site in sites.items()})

    with Bars(Console(stderr=True)) as bars:
        folder = run_experiment(experiment.model_copy(update=changes), resume=True, progress=bars, reach=reach)
    lines = [json.loads(line) for line in (folder.path / "rounds.jsonl").read_text().splitlines()]
    trained = [line["sites"] for line in lines if line["kind"] == "train"]
    metrics = read_metrics(folder).federated.sites
    aucs = [metrics[site].auc.value for site in honest]
    return {
        "rule": rule,
        "mean_auc_of_honest_sites": sum(aucs) / len(aucs),
        "weight_of_flipped": _mean([line[flipped]["weight"] for line in trained]),
        "weight_of_noisy": _mean([line[noisy]["weight"] for line in trained]),
        "even_share": 1 / len(sites),
    }


def _mean(weights: list[float | None]) -> float | None:
    known = [weight for weight in weights if weight is not None]
    return sum(known) / len(known) if known else None


def main() -> None:
    """Run the rules and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--rules", nargs="+", default=RULES)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--noise", type=float, default=0.3, help="standard deviation of the noise in every parameter")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    arguments = parser.parse_args()
    experiment = Experiment.from_yaml(arguments.experiment)
    rows = [run_rule(experiment, rule, arguments.rounds, arguments.noise) for rule in arguments.rules]
    print("| rule | mean test AUC of the honest sites | mean weight, flipped labels | mean weight, noise |")
    print("|---|---|---|---|")
    for row in rows:
        weights = [row["weight_of_flipped"], row["weight_of_noisy"]]
        shown = " | ".join("none" if weight is None else f"{weight:.2f}" for weight in weights)
        print(f"| {row['rule']} | {row['mean_auc_of_honest_sites']:.2f} | {shown} |")
    if arguments.json:
        print(json.dumps({"noise": arguments.noise, "rounds": arguments.rounds, "rows": rows}))


if __name__ == "__main__":
    main()
