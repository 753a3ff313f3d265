"""What the sites of one process share: the model, and what of it is computed once."""

from functools import cached_property

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.config.experiment import Experiment
from fedtune3d.models.assembly import AssembledModel, assemble
from fedtune3d.models.normalisation import normalisation_names
from fedtune3d.training.prefix import Prefix


class ProcessModel:
    """The model of an experiment on its device, put together when it is first used.

    Sites take turns with it: each writes the state that it was sent before it trains or scores.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        torch.set_num_threads(experiment.threads)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        wanted = self.experiment.device
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        elif wanted == "cuda" and not torch.cuda.is_available():
            raise InputError("device: cuda, but PyTorch finds no GPU here; write cpu or auto")
        return torch.device(wanted)

    @cached_property
    def assembled(self) -> AssembledModel:
        """The model, what of it trains, and where its weights came from."""
        section = self.experiment.model
        tuning = self.experiment.tuning
        assembled = assemble(section.encoder, section.weights, section.head, tuning, self.experiment.seed)
        assembled.model.to(self.device)
        return assembled

    @cached_property
    def prefix(self) -> Prefix:
        """The part of the model before the first trained parameter."""
        return Prefix(self.assembled.model, self.assembled.trainable)

    def context(self, sites: tuple[str, ...]) -> RuleContext:
        """What a rule may know of the experiment."""
        assembled = self.assembled
        return RuleContext(
            sites=sites,
            parameters=assembled.trainable.parameters,
            normalisation=normalisation_names(assembled.model, assembled.trainable),
            optimizer=self.experiment.training.optimizer,
            rate_constant=True,  # the schedule moves between rounds only
        )
