"""The model that the sites of a process share, and its frozen prefix."""

from functools import cached_property

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.gpu import compute_exactly, gpu_errors_in_one_line
from fedtune3d._utils.memory import keep_freed_memory
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.own_encoder import find_other_code
from fedtune3d.models.assembly import AssembledModel, assemble
from fedtune3d.models.normalisation import normalisation_names
from fedtune3d.training.peak_memory import PeakMemory
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.private import require_separate_scans


class ProcessModel:
    """An experiment's model on its device, assembled when first used.

    Sites take turns with it: each loads the state that it received before it trains or scores.

    Attributes:
        experiment: The experiment.
        memory: Measures the peak memory of training, from what the process held before this model.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.memory = PeakMemory()
        torch.set_num_threads(experiment.threads)
        keep_freed_memory()

    @property
    def device(self) -> torch.device:
        """The device that the model runs on."""
        name = self.experiment.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        elif name == "cuda" and not torch.cuda.is_available():
            raise InputError("device: cuda, but PyTorch finds no GPU here; write cpu or auto")
        if name == "cuda":
            compute_exactly()
        return torch.device(name)

    @cached_property
    def assembled(self) -> AssembledModel:
        """The model with its trainable part and the source of its weights."""
        section = self.experiment.model
        if problem := find_other_code(section.encoder, section.encoder_sha256):
            raise InputError(f"model.encoder: {problem}")  # another file was installed since the experiment was read
        tuning = self.experiment.tuning
        assembled = assemble(
            section.encoder, section.weights, section.head, tuning, self.experiment.seed, self.experiment.outcome
        )
        with gpu_errors_in_one_line():
            assembled.model.to(self.device)
        if self.experiment.privacy.epsilon is not None:
            require_separate_scans(assembled)
        return assembled

    @cached_property
    def prefix(self) -> Prefix:
        """The part of the model before the first trainable parameter. Raises `InputError` if it is not accurate."""
        prefix = Prefix(self.assembled.model, self.assembled.trainable, self.experiment.model.precision)
        prefix.require_accuracy(self.experiment.input.size)
        return prefix

    def context(self, sites: tuple[str, ...]) -> RuleContext:
        """Return what an aggregation rule may know about the experiment."""
        assembled = self.assembled
        return RuleContext(
            sites=sites,
            parameters=assembled.trainable.parameters,
            normalisation=normalisation_names(assembled.model, assembled.trainable),
            optimizer=self.experiment.training.optimizer,
            rate_constant=True,  # the schedule changes the rate only between rounds
        )
