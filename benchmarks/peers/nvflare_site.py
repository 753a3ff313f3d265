"""A site under NVFlare's client API: the same local epoch. NVFlare runs it with EXPERIMENT.yaml TIMES as arguments."""

import sys
from pathlib import Path

import nvflare.client as flare
import torch
from local_site import LocalSite, note_time

from fedtune3d.config.experiment import Experiment


def main() -> None:
    """Train whenever the server asks; the first site notes when each round reaches it."""
    path, times = map(Path, sys.argv[1:])
    flare.init()
    number = int(flare.get_site_name().rpartition("-")[2]) - 1
    site = LocalSite(path, Experiment.from_yaml(path).sites[number].name)
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        if number == 0:
            note_time(times)
        state = {name: torch.as_tensor(values) for name, values in received.params.items()}
        trained, examples, loss = site.train(state, int(received.current_round or 0) + 1)
        params = {name: tensor.numpy() for name, tensor in trained.items()}
        meta = {"NUM_STEPS_CURRENT_ROUND": examples}
        flare.send(flare.FLModel(params_type="FULL", params=params, metrics={"loss": loss}, meta=meta))


if __name__ == "__main__":
    main()
