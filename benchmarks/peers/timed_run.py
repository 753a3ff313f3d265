"""The project's own run in one process, with a clock on its parts.

Called by `engines.py`: python timed_run.py EXPERIMENT.yaml TIMES [WORKERS]; the last line is one JSON object. With
workers, which have no clock, only the parts of this process are in it.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_site import note_time

from fedtune3d._utils.progress import Advance
from fedtune3d.aggregation.fed_avg import FedAvg
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation import rounds
from fedtune3d.federation.arrived_updates import ArrivedUpdates
from fedtune3d.federation.privacy.egress_log import EgressManifest
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.federation.site import local_trainer as trainee
from fedtune3d.federation.site.memory import SiteMemory
from fedtune3d.workflows.run import run_experiment

PARTS = {
    "training": (trainee, "train_locally"),
    "validation": (trainee, "score"),
    "egress manifest": (EgressManifest, "record"),
    "site's memory": (SiteMemory, "save"),
    "check on arrival": (rounds, "reason_to_refuse"),
    "keeping updates": (ArrivedUpdates, "add"),
    "average": (FedAvg, "aggregate"),
    "checkpoint": (RoundsFolder, "commit"),
    "best state": (RoundsFolder, "save_best"),
}


class Clock:
    """Seconds in functions of the sites, by round, and the end of every round in a file."""

    def __init__(self, times: Path) -> None:
        self.times = times
        self.round = 0
        self.seconds: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def on(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted."""

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[self.round][what] += time.perf_counter() - began

        return timed

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Count the rounds as the run shows its progress."""

        def advance(done: int, total: int) -> None:
            self.round = done + 1
            if done:
                note_time(self.times)

        yield advance if text.startswith("rounds (") else lambda done, total: None


def main() -> None:
    """Run; print the mean seconds of each part in a round after the first."""
    path, times = map(Path, sys.argv[1:3])
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    clock = Clock(times)
    for what, (owner, name) in PARTS.items():
        setattr(owner, name, clock.on(what, getattr(owner, name)))
    experiment = Experiment.from_yaml(path).model_copy(update={"workers": workers})
    run_experiment(experiment, progress=clock)
    counted = range(2, experiment.training.rounds + 1)
    mean = {what: sum(clock.seconds[round_][what] for round_ in counted) / len(counted) for what in PARTS}
    print(json.dumps(mean))


if __name__ == "__main__":
    main()
