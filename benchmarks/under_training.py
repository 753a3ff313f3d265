"""How far the federation falls behind training in one place, by steps per round: 200 simulated federations.

    python benchmarks/under_training.py [--json]

Sites of 4 to 40 training people are dealt as in `selection.py`. For each setting the program prints the mean test AUC
after the last round, of the federation (FedAvg), of each site alone and of all scans in one place, and the difference
between the first and the last with its standard error over federations.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from federations import ARMS, History, Setting
from fedtune3d.training.settings import TrainingSettings
from selection import parser_of_federations, train_all

DEFAULT = TrainingSettings()
TRAININGS: Mapping[str, TrainingSettings] = {
    "defaults (20 rounds, 1 pass, batches of 8)": DEFAULT,
    "batches of 2": replace(DEFAULT, batch_size=2),
    "min_steps: 4": replace(DEFAULT, min_steps=4),
    "min_steps: 8": replace(DEFAULT, min_steps=8),
    "min_steps: 16": replace(DEFAULT, min_steps=16),
    "60 rounds": replace(DEFAULT, rounds=60),
}


def main() -> None:
    """Parse, run, print."""
    options = parser_of_federations(__doc__).parse_args()
    rows = []
    for name, training in TRAININGS.items():
        runs = train_all(Setting(training), options)
        aucs = {arm: np.array([_last(run[arm]) for run in runs]) for arm in ARMS}
        behind = aucs["federated"] - aucs["centralized"]
        row = {arm: float(values.mean()) for arm, values in aucs.items()}
        row |= {"difference": float(behind.mean()), "error": float(behind.std(ddof=1) / math.sqrt(len(behind)))}
        rows.append({"name": name, **row})
        shown = ", ".join(f"{arm} {row[arm]:.3f}" for arm in ARMS)
        print(f"{name}: {shown}; federated − centralized {row['difference']:+.3f} ± {row['error']:.3f}", flush=True)
    if options.json:
        print(json.dumps({"federations": options.federations, "head": options.head, "settings": rows}))


def _last(trainings: list[History]) -> float:
    """Test AUC after the last round, mean over the trainings of an arm."""
    return float(np.mean([history.tested[-1] for history in trainings]))


if __name__ == "__main__":
    main()
