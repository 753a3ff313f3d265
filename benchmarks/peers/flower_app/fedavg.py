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

TRAINING, EVALUATING = "training", "evaluate"
"""When the state that a site receives is scored: before it trains, or in a message of its own after the round."""
client = ClientApp()
server = ServerApp()


class Timed(FedAvg):
    """FedAvg that notes when each round has ended, with federated evaluation or without."""

    def __init__(self, times: Path, sites: int, *, evaluates: bool) -> None:
        super().__init__(fraction_train=1.0, fraction_evaluate=float(evaluates), min_available_nodes=sites)
        self.times = times

    def aggregate_evaluate(self, server_round, replies):  # type: ignore[no-untyped-def]
        """As FedAvg; called last in every round, without replies where nothing is evaluated."""
        result = super().aggregate_evaluate(server_round, replies)
        note_time(self.times)
        return result


@server.main()
def serve(grid: Grid, context: Context) -> None:
    """Run the rounds."""
    path = Path(str(context.run_config["experiment"]))
    experiment = Experiment.from_yaml(path)
    initial = ArrayRecord(LocalSite(path, experiment.sites[0].name).initial_state())
    times, evaluates = Path(str(context.run_config["times"])), context.run_config["scores"] == EVALUATING
    strategy = Timed(times, len(experiment.sites), evaluates=evaluates)
    while len(list(grid.get_node_ids())) < len(experiment.sites):
        time.sleep(0.2)
    strategy.start(grid=grid, initial_arrays=initial, num_rounds=experiment.training.rounds)


@cache
def open_site(path: Path, number: int) -> LocalSite:
    """A site of the experiment, opened once a process."""
    return LocalSite(path, Experiment.from_yaml(path).sites[number].name)


@client.train()
def train(message: Message, context: Context) -> Message:
    """One local epoch from the state that came, on this node's cached features, with the scores that are wanted."""
    site, wanted = site_of(context), context.run_config["scores"]
    received = dict(message.content["arrays"].to_torch_state_dict())
    metrics = score(site, received, "received") if wanted == TRAINING else {}
    state, examples, loss = site.train(received, int(message.content["config"]["server-round"]))
    metrics |= score(site, state, "sent") if wanted else {}
    found = MetricRecord({"num-examples": examples, "loss": loss} | metrics)
    return Message(RecordDict({"arrays": ArrayRecord(state), "metrics": found}), reply_to=message)


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """The scores of the state that came, which is the round's average."""
    received = dict(message.content["arrays"].to_torch_state_dict())
    site = site_of(context)
    metrics = MetricRecord({"num-examples": len(site.site.scans("validation"))} | score(site, received, "received"))
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def site_of(context: Context) -> LocalSite:
    """The site of this node."""
    return open_site(Path(str(context.run_config["experiment"])), int(context.node_config["partition-id"]))


def score(site: LocalSite, state: State, name: str) -> dict[str, float]:
    """The validation loss of a state; the AUC is computed with it."""
    loss = site.score(state).loss
    return {} if loss is None else {f"{name}-loss": loss}
