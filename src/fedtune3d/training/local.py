"""Local training at a site in one round."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import nn

from fedtune3d._utils.seeds import global_draws_from, torch_rng
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_step import LocalOptimizer, Parts, SiteStep
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.tuning import Trainable
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.faults import DeadlineExceeded, NotFinite
from fedtune3d.training.losses import training_loss
from fedtune3d.training.optimisation import build_optimizer, learning_rates
from fedtune3d.training.prefix import device_of, staged
from fedtune3d.training.settings import TrainingSettings

Batch = list[int]
PLAIN_STEP = SiteStep()
NOTHING_REMEMBERED: Parts = MappingProxyType({})


@dataclass(frozen=True)
class LocalRound:
    """Seed, site and round, which determine all random draws of a round."""

    seed: int
    site: str
    round: int
    rounds: int


@dataclass(frozen=True)
class TrainingResult:
    """Result of a site's training in a round; the trained state is in the model.

    Attributes:
        loss: Mean loss over the last local epoch, without terms added by a rule; None under differential privacy, which
            it would undo.
        examples: Number of training scans.
        steps: Number of optimiser steps.
        seconds: Wall time.
        parts: State dicts that the rule's step sends with the trained state.
    """

    loss: float | None
    examples: int
    steps: int
    seconds: float
    parts: Mapping[str, State] = field(default_factory=dict)


def train_locally(
    assembled: AssembledModel,
    state: State,
    data: ScanSet,
    settings: TrainingSettings,
    local_round: LocalRound,
    *,
    step: SiteStep = PLAIN_STEP,
    remembered: Parts = NOTHING_REMEMBERED,
    deadline: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Train a model for one round from `state`; equal arguments give bit-identical results.

    Each optimiser step follows the gradient of the mean loss over its scans (`training.losses`; class-weighted: a scan
    weighs n / (classes · n of its class)), corrected by the rule's step before and after the gradient is clipped to
    `clip_norm`. Names in `step.frozen` are not trained. If the model trains BatchNorm, a last batch of a single scan
    is left out, because one scan has no batch statistics.

    Args:
        assembled: The model; contains the trained state afterwards.
        state: The state dict to start from.
        data: The site's training scans, at least one.
        settings: Optimiser, epochs, batches.
        local_round: Seed, site and round, which determine all random draws.
        step: The rule's site step.
        remembered: The site's memory for the rule, from its last accepted round.
        deadline: Time by `time.monotonic()` after which the result is too late; checked before each batch.
        progress: Called with (batches done, total batches) after each batch.

    Raises:
        DeadlineExceeded, NotFinite: The model then contains a partly trained state.
        InputError: If the state does not match the model.
        ValueError: If there are no scans, or the step cannot be used with the optimiser.
    """
    started = time.monotonic()
    with training_from(assembled, state, data, local_round):
        trainer = _Trainer(assembled, data, settings, local_round, step, remembered)
        loss = trainer.run(deadline, progress)
    parts = trainer.correction.parts_to_send(trainer.parameters, trainer.steps)
    return TrainingResult(loss, len(data), trainer.steps, time.monotonic() - started, parts)


@contextmanager
def training_from(assembled: AssembledModel, state: State, data: ScanSet, local_round: LocalRound) -> Iterator[None]:
    """Hold the model in training mode with `state` loaded and torch's global generators seeded for the round.

    Raises:
        ValueError: If there are no scans.
        InputError: If the state does not match the model.
    """
    if not len(data):
        raise ValueError(f"{local_round.site}: expected at least one training scan, got none")
    model = assembled.model
    assembled.write(state)
    set_training_mode(model, assembled.trainable)
    causes = (local_round.seed, local_round.site, local_round.round)
    try:
        with global_draws_from("training", *causes, device=device_of(model)):
            yield
    finally:
        model.eval()
        model.zero_grad(set_to_none=True)


def set_training_mode(model: nn.Module, trainable: Trainable) -> None:
    """Put a model into training mode, except layers whose tensors are all frozen (such as a frozen BatchNorm)."""
    trained = set(trainable.names)
    model.train()
    for prefix, module in model.named_modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        names = {f"{prefix}.{name}" if prefix else name for name, _ in tensors}
        if names and not names & trained:
            module.training = False


def _trains_batch_norm(model: nn.Module) -> bool:
    batch_norm = nn.modules.batchnorm._BatchNorm
    return any(isinstance(module, batch_norm) and module.training for module in model.modules())


class _Trainer:
    """A site's round in progress: model, data, optimiser and the rule's gradient correction."""

    def __init__(
        self,
        assembled: AssembledModel,
        data: ScanSet,
        settings: TrainingSettings,
        local_round: LocalRound,
        step: SiteStep,
        remembered: Parts,
    ) -> None:
        self.model, self.data, self.settings, self.local_round = assembled.model, data, settings, local_round
        self.device = device_of(self.model)
        parameters = dict(self.model.named_parameters())
        self.parameters = {name: parameters[name] for name in assembled.trainable.parameters if name not in step.frozen}
        self.rates = learning_rates(self.parameters, settings, local_round.round, local_round.rounds)
        self.optimizer = build_optimizer(self.parameters, self.rates, settings)
        self.loss = training_loss(assembled.outcome, data.labels, settings.class_weighted)
        optimizer = LocalOptimizer(settings.optimizer, settings.momentum, self.rates)
        self.correction = step.correction(self.parameters, optimizer, remembered)
        self.steps = 0

    def run(self, deadline: float | None, progress: Callable[[int, int], None] | None) -> float:
        """Run all local epochs; returns the mean loss of the last."""
        epochs = [self._epoch(epoch) for epoch in range(self.settings.passes(len(self.data)))]
        total = sum(len(batches) for batches, _ in epochs)
        done = 0
        for batches, views in epochs:
            losses, scans = 0.0, sum(map(len, batches))
            for start in range(0, len(batches), self.settings.accumulation):
                group = batches[start : start + self.settings.accumulation]
                group_scans = sum(map(len, group))
                for batch in group:
                    if deadline is not None and time.monotonic() > deadline:
                        raise DeadlineExceeded(f"{self._where(done)}: the deadline passed, {total - done} batches left")
                    batch_views = [views[index] for index in batch]
                    losses += self._backward(batch, batch_views, group_scans, done) * group_scans
                    done += 1
                    if progress:
                        progress(done, total)
                self._step(done)
        return losses / scans

    def _epoch(self, epoch: int) -> tuple[list[Batch], list[int]]:
        """Return the shuffled batches of an epoch, and the view of each scan."""
        local_round = self.local_round
        rng = torch_rng("epoch", local_round.seed, local_round.site, local_round.round, epoch)
        order = torch.randperm(len(self.data), generator=rng).tolist()
        size = self.settings.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        if len(batches) > 1 and len(batches[-1]) == 1 and _trains_batch_norm(self.model):
            batches.pop()
        return batches, self.data.draw_views(len(self.data), rng)

    def _backward(self, batch: Batch, views: list[int], step_scans: int, done: int) -> float:
        """Add the gradient of a batch's share of the mean loss over the step's scans; return that share."""
        inputs = self.data.inputs(batch, views).to(self.device)
        outputs = staged(self.model).run_stages(inputs, self.data.first_stage, staged(self.model).stage_count)
        loss = self.loss(outputs, self.data.labels[batch]).sum() / step_scans
        value = loss.item()
        if not torch.isfinite(loss):
            raise NotFinite(f"{self._where(done)}: the loss is {value}; lower the learning rate or check the scans")
        loss.backward()
        return value

    def _step(self, done: int) -> None:
        """Correct the gradients, clip them, and take a step."""
        self.correction.before_clipping(self.parameters)
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise NotFinite(f"{self._where(done - 1)}: the gradient's norm is {norm.item()}; lower the learning rate")
        if self.settings.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(list(self.parameters.values()), self.settings.clip_norm, norm)
        self.correction.after_clipping(self.parameters)
        self.optimizer.step()
        for parameter in self.parameters.values():
            parameter.grad = None
        self.steps += 1

    def _where(self, done: int) -> str:
        return f"{self.local_round.site}, round {self.local_round.round}, batch {done + 1}"
