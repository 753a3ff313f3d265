"""What every engine of `engines.py` trains: a site's local epoch on its cached features, by the project's own code."""

import time
from pathlib import Path

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d._utils.state_dicts import State
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.models.tuning import read_state
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.scores import Scores, score
from fedtune3d.workflows.sites import make_sites


class LocalSite:
    """A site of an experiment that has been run in one process before, so that its scans are split and encoded.

    Args:
        experiment: The experiment file, with the sites' folders.
        name: Of the site.
        process_model: The model, where sites of one process share it.
    """

    def __init__(self, experiment: Path, name: str, process_model: ProcessModel | None = None) -> None:
        self.experiment = Experiment.from_yaml(experiment)
        self.process_model = process_model or ProcessModel(self.experiment)
        folder = RunFolder(self.experiment.output)
        (self.site,) = make_sites(self.experiment, folder, Silent(), process_model=self.process_model, only=name)

    def initial_state(self) -> State:
        """What the rounds start from."""
        assembled = self.process_model.assembled
        return read_state(assembled.model, assembled.trainable)

    def train(self, state: State, round_: int) -> tuple[State, int, float]:
        """One round from a state: the state after it, the number of training scans, the mean loss."""
        assembled = self.process_model.assembled
        occasion = LocalRound(self.experiment.seed, self.site.name, round_, self.experiment.training.rounds)
        settings = self.experiment.training
        result = train_locally(assembled, state, self.site.scans("train"), settings, occasion)
        return read_state(assembled.model, assembled.trainable), result.examples, result.loss

    def score(self, state: State) -> Scores:
        """The scores of a state on the site's validation scans."""
        return score(self.process_model.assembled, state, self.site.scans("validation"))


def note_time(path: Path) -> None:
    """Append the time of day, in seconds."""
    with path.open("a") as file:
        file.write(f"{time.time()}\n")
