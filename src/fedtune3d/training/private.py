"""Local training under differential privacy: DP-SGD with the gradient of each person clipped as a whole.

Abadi et al. 2016, arXiv:1607.00133, Algorithm 1, with people in the place of examples and the expected number of people
in the place of the lot's size. What the server can see of a round is the noised sum of each step and what follows from
it: the optimiser, its momentum and weight decay, and the terms that a rule adds to the gradient only process that sum.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import global_draws_from, torch_rng
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_step import LocalOptimizer, Parts, SiteStep
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.draws import Draws
from fedtune3d.training.faults import DeadlineExceeded
from fedtune3d.training.local import NOTHING_REMEMBERED, PLAIN_STEP, LocalRound, TrainingResult, training_from
from fedtune3d.training.losses import CROSS_ENTROPY, ScanLoss, scan_loss
from fedtune3d.training.optimisation import build_optimizer, learning_rates
from fedtune3d.training.prefix import device_of, staged
from fedtune3d.training.settings import TrainingSettings

SCANS_AT_ONCE = 8
"""Scans whose gradients are computed together, where only the head trains, in every batch."""
Sums = dict[str, torch.Tensor]
DrawsOf = Callable[[Sequence[int]], AbstractContextManager[None]]
"""Seeds the draws of a model, such as dropout, for the gradient of the person with these scans."""


@dataclass(frozen=True, order=True)
class SampledGaussian:
    """The mechanism of a round: `steps` sums over sampled people, each with Gaussian noise.

    Attributes:
        noise_multiplier: Standard deviation of the noise, in units of the clipping norm.
        sampling_rate: Probability with which a person takes part in a step; 1 for everyone.
        steps: Steps per round.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int


@dataclass(frozen=True)
class Protection:
    """The protection of a round: its mechanism, the clipping norm, and the round's draws."""

    mechanism: SampledGaussian
    clip: float
    draws: Draws


def train_privately(
    assembled: AssembledModel,
    state: State,
    data: ScanSet,
    people: Sequence[str],
    settings: TrainingSettings,
    protection: Protection,
    local_round: LocalRound,
    *,
    step: SiteStep = PLAIN_STEP,
    remembered: Parts = NOTHING_REMEMBERED,
    deadline: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Train a model for one round from `state`, without any one person having much influence.

    A step's gradient is (Σ_i g_i min(1, C / ‖g_i‖) + z σ C) / (q n), over the sampled people i of n: g_i is the
    gradient of the summed losses of the person's scans, C the clipping norm, q the sampling rate, z standard
    normal. A gradient that is not finite counts as 0. `settings.clip_norm` and class weights are not used, and no loss
    is computed.

    Args:
        assembled: The model; contains the trained state afterwards.
        state: The state dict to start from.
        data: The site's training scans, at least one.
        people: The person of each scan.
        settings: Optimiser and learning rates.
        protection: Clipping, noise and sampling.
        local_round: Seed, site and round, from which views and dropout follow for each person on their own: otherwise
            everybody's gradient would depend on who else is in training.
        step: The rule's site step.
        remembered: The site's memory for the rule, from its last accepted round.
        deadline: Time by `time.monotonic()` after which the result is too late.
        progress: Called with (steps done, total steps) after each step.

    Raises:
        DeadlineExceeded: The model then contains a partly trained state.
        InputError: If the state does not match the model, or a gradient of the model depends on several scans.
        ValueError: If there are no scans, or the step cannot be used with the optimiser.
    """
    require_separate_scans(assembled)
    started = time.monotonic()
    with training_from(assembled, state, data, local_round):
        trainer = _PrivateTrainer(assembled, data, people, settings, protection, local_round, step, remembered)
        trainer.run(deadline, progress)
    parts = trainer.correction.parts_to_send(trainer.parameters, trainer.taken)
    return TrainingResult(None, len(data), trainer.taken, time.monotonic() - started, parts)


def require_separate_scans(assembled: AssembledModel) -> None:
    """Check that what a model sends follows from gradients of single scans only.

    Raises:
        InputError: If it trains no parameter by gradients, or keeps statistics over the batch.
    """
    trainable = assembled.trainable
    if not trainable.parameters:
        raise InputError("privacy.epsilon: nothing in this model trains by gradients")
    if statistics := sorted(set(trainable.names) - set(trainable.parameters)):
        raise InputError(
            f"privacy.epsilon: the model keeps statistics over the batch ({statistics[0]}), which no noise covers; "
            "choose a head with GroupNorm, such as linear, and tuning: {method: frozen}"
        )


class _PrivateTrainer:
    """A site's private round in progress."""

    def __init__(
        self,
        assembled: AssembledModel,
        data: ScanSet,
        people: Sequence[str],
        settings: TrainingSettings,
        protection: Protection,
        local_round: LocalRound,
        step: SiteStep,
        remembered: Parts,
    ) -> None:
        self.data, self.people, self.protection, self.local_round = data, people, protection, local_round
        self.device = device_of(assembled.model)
        self.scans_of: dict[str, list[int]] = {}
        for scan, person in enumerate(people):
            self.scans_of.setdefault(person, []).append(scan)
        parameters = dict(assembled.model.named_parameters())
        self.parameters = {name: parameters[name] for name in assembled.trainable.parameters if name not in step.frozen}
        rates = learning_rates(self.parameters, settings, local_round.round, local_round.rounds)
        self.optimizer = build_optimizer(self.parameters, rates, settings)
        optimizer = LocalOptimizer(settings.optimizer, settings.momentum, rates)
        self.correction = step.correction(self.parameters, optimizer, remembered)
        loss = scan_loss(assembled.outcome)
        self.clipped = ClippedSum(assembled.model, self.parameters, data.first_stage, protection.clip, loss)
        self.taken = 0

    def run(self, deadline: float | None, progress: Callable[[int, int], None] | None) -> None:
        """Take all steps of the round."""
        local_round, steps = self.local_round, self.protection.mechanism.steps
        for number in range(steps):
            views = self._views(number)
            self.clipped.clear(partial(self._draws_of, number))
            for scans in self._sampled():
                if deadline is not None and time.monotonic() > deadline:
                    where = f"{local_round.site}, round {local_round.round}, step {number + 1}"
                    raise DeadlineExceeded(f"{where}: the deadline passed, {steps - number} steps left")
                self.clipped.add(self.data, scans, views)
            self._step()
            if progress:
                progress(number + 1, steps)

    def _views(self, number: int) -> list[int]:
        """Draw the view of each scan in a step."""
        views = [0] * len(self.data)
        for person, scans in self.scans_of.items():
            drawn = self.data.draw_views(len(scans), torch_rng("private views", *self._causes(number), person))
            for scan, view in zip(scans, drawn, strict=True):
                views[scan] = view
        return views

    def _draws_of(self, number: int, scans: Sequence[int]) -> AbstractContextManager[None]:
        person = self.people[scans[0]]
        return global_draws_from("private training", *self._causes(number), person, device=self.device)

    def _causes(self, number: int) -> tuple[int, str, int, int]:
        return self.local_round.seed, self.local_round.site, self.local_round.round, number

    def _sampled(self) -> Iterator[list[list[int]]]:
        """Yield the scans of each sampled person, in groups that are computed together."""
        people = list(self.scans_of.values())
        rate = self.protection.mechanism.sampling_rate
        if rate < 1:
            drawn = self.protection.draws.uniform(len(people)) < rate
            people = [scans for scans, is_drawn in zip(people, drawn.tolist(), strict=True) if is_drawn]
        yield from grouped(people, self.clipped.scans_at_once)

    def _step(self) -> None:
        """Add noise to the sum, divide it by the expected number of people, and take a step."""
        mechanism, clip = self.protection.mechanism, self.protection.clip
        expected = mechanism.sampling_rate * len(self.scans_of)
        for name, parameter in self.parameters.items():
            noise = self.protection.draws.normal(parameter.numel()).view(parameter.shape)
            noised = self.clipped.sums[name].cpu() + mechanism.noise_multiplier * clip * noise
            parameter.grad = (noised / expected).to(parameter)
        self.correction.before_clipping(self.parameters)
        self.correction.after_clipping(self.parameters)
        self.optimizer.step()
        for parameter in self.parameters.values():
            parameter.grad = None
        self.taken += 1


def grouped(people: Sequence[list[int]], scans_at_once: int) -> Iterator[list[list[int]]]:
    """Yield consecutive people whose scans are together at most `scans_at_once`, or a single person."""
    group: list[list[int]] = []
    for scans in people:
        if group and sum(map(len, group)) + len(scans) > scans_at_once:
            yield group
            group = []
        group.append(scans)
    if group:
        yield group


class ClippedSum:
    """The sum over people of their gradients, each clipped to 2-norm `clip` over all parameters together.

    Adding or removing a person changes it by at most `clip`.

    Args:
        model: The model, in training mode.
        parameters: The parameters to take gradients of.
        first_stage: The stage that receives the data.
        clip: Upper limit of a person's norm.
        loss: The loss of a scan.

    Attributes:
        sums: Name of a parameter → the sum so far, float64.
        scans_at_once: The scans whose gradients are computed together: one where the encoder trains, whose layers are
            too large for a gradient per scan in memory and partly unknown to `torch.func`.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Mapping[str, nn.Parameter],
        first_stage: int,
        clip: float,
        loss: ScanLoss = CROSS_ENTROPY,
    ) -> None:
        self.model, self.parameters, self.clip, self.loss = model, parameters, clip, loss
        self.first_stage = first_stage
        only_the_head = first_stage >= staged(model).stage_count - 1
        self.scans_at_once = SCANS_AT_ONCE if only_the_head else 1
        self._per_scan = _per_scan_gradients(model, first_stage, loss) if only_the_head else None
        self.clear()

    def clear(self, draws_of: DrawsOf = lambda scans: nullcontext()) -> None:
        """Begin a new sum."""
        self._draws_of = draws_of
        self.sums: Sums = {
            name: torch.zeros_like(parameter, dtype=torch.float64, requires_grad=False)
            for name, parameter in self.parameters.items()
        }

    def add(self, data: ScanSet, people: Sequence[Sequence[int]], views: Sequence[int]) -> None:
        """Add some people, each given by their scans; `views` has one entry per scan of the data."""
        per_person = (
            self._one_by_one(data, people, views) if self._per_scan is None else self._together(data, people, views)
        )
        squares = sum(gradient.double().flatten(1).square().sum(1) for gradient in per_person.values())
        norms = torch.as_tensor(squares).sqrt()
        factors = torch.where(norms.isfinite(), self.clip / norms.clamp(min=self.clip), 0.0)
        for name, gradient in per_person.items():
            finite = torch.where(factors.view(-1, *[1] * (gradient.ndim - 1)) > 0, gradient.double(), 0.0)
            self.sums[name] += torch.tensordot(factors, finite, 1)

    def _together(self, data: ScanSet, people: Sequence[Sequence[int]], views: Sequence[int]) -> Sums:
        """Return the gradients of several people, (people, …), by `torch.func`.

        All batches have the same size, the last being padded with copies of its last scan, because kernels are chosen
        by shape: a state can be made under which everybody's gradient hangs on the last bit.
        """
        device = device_of(self.model)
        scans = [scan for own in people for scan in own]
        owners = torch.tensor([owner for owner, own in enumerate(people) for _ in own], device=device)
        values = {name: parameter.detach() for name, parameter in self.parameters.items()}
        sums = {name: value.new_zeros(len(people), *value.shape) for name, value in values.items()}
        assert self._per_scan is not None
        for start in range(0, len(scans), SCANS_AT_ONCE):
            batch = scans[start : start + SCANS_AT_ONCE]
            padded = [*batch, *[batch[-1]] * (SCANS_AT_ONCE - len(batch))]
            inputs = data.inputs(padded, [views[scan] for scan in padded]).to(device)
            gradients = self._per_scan(values, inputs, data.labels[padded].to(device))
            for name, gradient in gradients.items():
                sums[name].index_add_(0, owners[start : start + len(batch)], gradient[: len(batch)])
        return sums

    def _one_by_one(self, data: ScanSet, people: Sequence[Sequence[int]], views: Sequence[int]) -> Sums:
        """Return the gradients of several people, (people, …), by one backward pass per scan."""
        device, model = device_of(self.model), staged(self.model)
        found: list[Sums] = []
        for own in people:
            with self._draws_of(own):
                for scan in own:
                    inputs = data.inputs([scan], [views[scan]]).to(device)
                    outputs = model.run_stages(inputs, self.first_stage, model.stage_count)
                    self.loss(outputs.float(), data.labels[[scan]].to(device)).mean().backward()
            found.append({name: _taken_gradient(parameter) for name, parameter in self.parameters.items()})
        return {name: torch.stack([own[name] for own in found]) for name in self.parameters}


def _taken_gradient(parameter: nn.Parameter) -> torch.Tensor:
    gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    parameter.grad = None
    return gradient


class _Tail(nn.Module):
    """The stages of a model from `first_stage` on, as a module of its own."""

    def __init__(self, model: nn.Module, first_stage: int) -> None:
        super().__init__()
        self.model, self.first_stage = model, first_stage

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        model = staged(self.model)
        return model.run_stages(inputs, self.first_stage, model.stage_count)


def _per_scan_gradients(
    model: nn.Module, first_stage: int, scan_loss: ScanLoss
) -> Callable[[Sums, torch.Tensor, torch.Tensor], Sums]:
    """Return the function (parameters, inputs (B, …), labels (B,)) → gradients of the losses, (B, …).

    A head that draws, such as by dropout, raises `RuntimeError`: its draws would depend on the batch.
    """
    tail = _Tail(model, first_stage)

    def loss(values: Sums, scan: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        outputs = functional_call(tail, {f"model.{name}": value for name, value in values.items()}, (scan[None],))
        return scan_loss(outputs.float(), label[None]).mean()

    gradients: Callable[[Sums, torch.Tensor, torch.Tensor], Sums] = vmap(
        grad(loss), in_dims=(None, 0, 0), randomness="error"
    )
    return gradients
