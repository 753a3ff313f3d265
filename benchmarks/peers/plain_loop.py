"""The least that federated averaging takes: each site's local epoch in turn, and the average. Nothing is saved.

Called by `engines.py`: python plain_loop.py EXPERIMENT.yaml TIMES
"""

import sys
from pathlib import Path

from local_site import LocalSite, note_time

from fedtune3d._utils.state_dicts import State
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.process_model import ProcessModel


def main() -> None:
    """Run the rounds; the end of each goes to TIMES."""
    path, times = map(Path, sys.argv[1:])
    experiment = Experiment.from_yaml(path)
    process_model = ProcessModel(experiment)
    sites = [LocalSite(path, section.name, process_model) for section in experiment.sites]
    state = sites[0].initial_state()
    for round_ in range(1, experiment.training.rounds + 1):
        state = average([site.train(state, round_)[:2] for site in sites])
        note_time(times)


def average(updates: list[tuple[State, int]]) -> State:
    """The mean of the states, weighted by the numbers of scans."""
    total = sum(examples for _, examples in updates)
    return {name: sum(state[name] * (examples / total) for state, examples in updates) for name in updates[0][0]}


if __name__ == "__main__":
    main()
