"""Flower's FedAvg strategy over sites that train the same head on the same cached features as the project's own run."""

import time
from functools import cache
from pathlib import Path

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from local_site import LocalSite, note_time

from fedtune3d._utils.state_dicts import State
from fedtune3d.config.experiment import Experiment

client = ClientApp()
server = ServerApp()


class Timed(FedAvg):
    """FedAvg that notes when each round's answers have been averaged."""

    def __init__(self, times: Path, sites: int) -> None:
        super().__init__(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=sites)
        self.times = times

    def aggregate_train(self, server_round, replies):  # type: ignore[no-untyped-def]
        """As FedAvg."""
        result = super().aggregate_train(server_round, replies)
        note_time(self.times)
        return result


@server.main()
def serve(grid: Grid, context: Context) -> None:
    """Run the rounds."""
    path = Path(str(context.run_config["experiment"]))
    experiment = Experiment.from_yaml(path)
    initial = ArrayRecord(LocalSite(path, experiment.sites[0].name).initial_state())
    strategy = Timed(Path(str(context.run_config["times"])), len(experiment.sites))
    while len(list(grid.get_node_ids())) < len(experiment.sites):
        time.sleep(0.2)
    strategy.start(grid=grid, initial_arrays=initial, num_rounds=experiment.training.rounds)


@cache
def open_site(path: Path, number: int) -> LocalSite:
    """A site of the experiment, opened once a process."""
    return LocalSite(path, Experiment.from_yaml(path).sites[number].name)


@client.train()
def train(message: Message, context: Context) -> Message:
    """One local epoch from the state that came, on this node's cached features; both states are scored if wanted."""
    site = open_site(Path(str(context.run_config["experiment"])), int(context.node_config["partition-id"]))
    received = dict(message.content["arrays"].to_torch_state_dict())
    before = score(site, received, context, "received")
    state, examples, loss = site.train(received, int(message.content["config"]["server-round"]))
    metrics = MetricRecord({"num-examples": examples, "loss": loss} | before | score(site, state, context, "sent"))
    return Message(RecordDict({"arrays": ArrayRecord(state), "metrics": metrics}), reply_to=message)


def score(site: LocalSite, state: State, context: Context, name: str) -> dict[str, float]:
    """The validation loss of a state, if the run wants scores; the AUC is computed with it."""
    loss = site.score(state).loss if context.run_config["scores"] else None
    return {} if loss is None else {f"{name}-loss": loss}
