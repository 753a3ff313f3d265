"""What NVFlare's server starts from: the head of an experiment, under the names by which its tensors travel."""

from pathlib import Path

from torch import nn

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.models.tuning import read_state


class Head(nn.Module):
    """The experiment's head, untrained; no other part of the model trains."""

    def __init__(self, experiment: str) -> None:
        super().__init__()
        assembled = ProcessModel(Experiment.from_yaml(Path(experiment))).assembled
        self.head = assembled.model.head
        if self.state_dict().keys() != read_state(assembled.model, assembled.trainable).keys():
            raise ValueError(f"{experiment}: expected a tuning that trains the head alone")
