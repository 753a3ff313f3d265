"""One site's training in one round."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from fedtune3d._utils.seeds import global_draws_from, torch_rng
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.contract import CONTROL, LocalPlan
from fedtune3d.models.tuning import Trainable
from fedtune3d.training.control import control_change, gradient_offset
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.faults import DeadlineExceeded, NotFinite
from fedtune3d.training.optimisation import build_optimizer, learning_rates
from fedtune3d.training.prefix import device_of, staged
from fedtune3d.training.settings import TrainingSettings

Batch = list[int]


@dataclass(frozen=True)
class LocalRound:
    """Which round of which site: what everything random in it follows from."""

    seed: int
    site: str
    round: int
    rounds: int


@dataclass(frozen=True)
class TrainingResult:
    """What a site's training in a round came to; what was trained is in the model.

    Attributes:
        loss: Mean (class-weighted) cross-entropy over the last local epoch, without the proximal term.
        examples: Training scans.
        steps: Steps of the optimiser.
        seconds: Wall time.
        control_change: c_k⁺ − c_k by parameter name, where the plan brought SCAFFOLD's control variate.
    """

    loss: float
    examples: int
    steps: int
    seconds: float
    control_change: State | None = None


def train_locally(
    model: nn.Module,
    trainable: Trainable,
    data: ScanSet,
    settings: TrainingSettings,
    plan: LocalPlan,
    local_round: LocalRound,
    *,
    deadline: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    own_control: State | None = None,
) -> TrainingResult:
    """Train the model in place for one round, from the state that it holds; the same causes give the same bits.

    A step goes along the gradient of the mean cross-entropy over the scans behind it (class-weighted: a scan counts
    n / (2 · n of its class)) plus the proximal term's, μ (w − w_received) (FedProx, arXiv:1812.06127, eq. 2), cut to
    `clip_norm`, plus SCAFFOLD's offset c − c_k. Names in `plan.frozen` do not train. Where the model trains BatchNorm,
    a lone last scan of an epoch is left out, because one scan has no batch statistics.

    Args:
        model: With tuning applied and the round's state written.
        trainable: What trains.
        data: The site's training scans, at least one.
        settings: How.
        plan: What the rule wants: `proximal_mu`, `frozen` and the control variate are carried out here.
        local_round: Seed, site, round.
        deadline: `time.monotonic()` after which the answer is not wanted; looked at before each batch.
        progress: Told (done, all) after each batch.
        own_control: The site's c_k from the last accepted round; None for 0.

    Raises:
        DeadlineExceeded, NotFinite: The model is then somewhere in between; write a state before its next use.
        ValueError: If there are no scans, or a control variate meets another optimiser than plain sgd.
    """
    if not len(data):
        raise ValueError(f"{local_round.site}: expected at least one training scan, got none")
    if CONTROL in plan.tensors and (settings.optimizer, settings.momentum) != ("sgd", 0.0):
        raise ValueError("SCAFFOLD's control variates need optimizer: sgd without momentum")
    started = time.monotonic()
    set_training_mode(model, trainable)
    try:
        trainer = _Trainer(model, trainable, data, settings, plan, local_round, own_control)
        with global_draws_from(
            "training", local_round.seed, local_round.site, local_round.round, device=device_of(model)
        ):
            loss = trainer.run(deadline, progress)
    finally:
        model.eval()
        model.zero_grad(set_to_none=True)
    return TrainingResult(loss, len(data), trainer.steps, time.monotonic() - started, trainer.control_change())


def set_training_mode(model: nn.Module, trainable: Trainable) -> None:
    """Training mode, but for layers that have tensors of their own none of which trains (a frozen BatchNorm)."""
    trained = set(trainable.names)
    model.train()
    for prefix, module in model.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        names = {f"{prefix}.{name}" if prefix else name for name, _ in own}
        if names and not names & trained:
            module.training = False


def class_weights(labels: torch.Tensor) -> torch.Tensor:
    """(2,) weights n / (2 · n of the class), so that both classes count alike; 1 where there is one class only."""
    counts = torch.bincount(labels, minlength=2).float()
    return len(labels) / (2 * counts) if counts.min() > 0 else torch.ones(2)


def _trains_batch_norm(model: nn.Module) -> bool:
    batch_norm = nn.modules.batchnorm._BatchNorm
    return any(isinstance(module, batch_norm) and module.training for module in model.modules())


class _Trainer:
    """What stays the same through a site's round: model, data, optimiser, corrections of the gradient."""

    def __init__(
        self,
        model: nn.Module,
        trainable: Trainable,
        data: ScanSet,
        settings: TrainingSettings,
        plan: LocalPlan,
        local_round: LocalRound,
        own_control: State | None,
    ) -> None:
        self.model, self.data, self.settings, self.plan, self.local_round = model, data, settings, plan, local_round
        self.device = device_of(model)
        parameters = dict(model.named_parameters())
        self.parameters = {name: parameters[name] for name in trainable.parameters if name not in plan.frozen}
        self.rates = learning_rates(self.parameters, settings, local_round.round, local_round.rounds)
        self.optimizer = build_optimizer(self.parameters, self.rates, settings)
        self.weights = class_weights(data.labels) if settings.class_weighted else torch.ones(2)
        self.control = plan.tensors.get(CONTROL)
        self.received, self.offset = {}, {}
        if plan.proximal_mu or self.control is not None:
            self.received = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        if self.control is not None:
            self.offset = gradient_offset(self.control, own_control, self.parameters)
        self.steps = 0

    def run(self, deadline: float | None, progress: Callable[[int, int], None] | None) -> float:
        """All local epochs; the mean loss of the last."""
        plans = [self._epoch(epoch) for epoch in range(self.settings.local_epochs)]
        total = sum(len(batches) for batches, _ in plans)
        done = 0
        for batches, views in plans:
            losses, scans = 0.0, sum(map(len, batches))
            for start in range(0, len(batches), self.settings.accumulation):
                group = batches[start : start + self.settings.accumulation]
                behind = sum(map(len, group))
                for batch in group:
                    if deadline is not None and time.monotonic() > deadline:
                        raise DeadlineExceeded(f"{self._where(done)}: the deadline passed with {total - done} to go")
                    losses += self._backward(batch, [views[index] for index in batch], behind, done) * behind
                    done += 1
                    if progress:
                        progress(done, total)
                self._step(done)
        return losses / scans

    def _epoch(self, epoch: int) -> tuple[list[Batch], list[int]]:
        """The batches of an epoch, shuffled, and the view of each scan in it."""
        occasion = self.local_round
        rng = torch_rng("epoch", occasion.seed, occasion.site, occasion.round, epoch)
        order = torch.randperm(len(self.data), generator=rng).tolist()
        size = self.settings.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        if len(batches) > 1 and len(batches[-1]) == 1 and _trains_batch_norm(self.model):
            batches.pop()
        return batches, self.data.draw_views(len(self.data), rng)

    def _backward(self, batch: Batch, views: list[int], behind: int, done: int) -> float:
        """Add the gradient of a batch's part of the mean loss over the `behind` scans of the step; return that part."""
        inputs = self.data.inputs(batch, views).to(self.device)
        logits = staged(self.model).run_stages(inputs, self.data.first_stage, staged(self.model).stage_count)
        labels = self.data.labels[batch]
        each = functional.cross_entropy(logits.float(), labels.to(self.device), reduction="none")
        loss = (each * self.weights[labels].to(self.device)).sum() / behind
        value = loss.item()
        if not torch.isfinite(loss):
            raise NotFinite(f"{self._where(done)}: the loss is {value}; lower the learning rate or check the scans")
        loss.backward()
        return value

    def _step(self, done: int) -> None:
        """Correct the gradient, bound it, and move."""
        for name, parameter in self.parameters.items():
            if parameter.grad is not None and self.plan.proximal_mu:
                parameter.grad.add_(parameter.detach() - self.received[name], alpha=self.plan.proximal_mu)
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise NotFinite(f"{self._where(done - 1)}: the gradient's norm is {norm.item()}; lower the learning rate")
        if self.settings.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(list(self.parameters.values()), self.settings.clip_norm, norm)
        for name, offset in self.offset.items():
            gradient = self.parameters[name].grad
            if gradient is not None:
                gradient.add_(offset.to(gradient))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1

    def control_change(self) -> State | None:
        """What the site adds to its control variate after this round; None where the plan brought none."""
        if self.control is None:
            return None
        sent = {name: parameter.detach() for name, parameter in self.parameters.items()}
        return control_change(self.control, self.received, sent, self.steps, self.rates)

    def _where(self, done: int) -> str:
        return f"{self.local_round.site}, round {self.local_round.round}, batch {done + 1}"
