"""Costs of a model on this machine: a forward pass and a training step, measured on noise in a separate process.

`python -m fedtune3d.federation.site.costs` reads a line of `config.handover` and prints `MeasuredCosts` as JSON.
"""

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.memory import peak_memory_bytes
from fedtune3d._utils.state_dicts import State, state_bytes
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.aggregation.contract import Memory, Rule, Update
from fedtune3d.aggregation.site_step import STATE, SiteStep, pack_step
from fedtune3d.aggregation.sums import values_to_sum
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.handover import from_line, to_line
from fedtune3d.config.participation import drawn_sites
from fedtune3d.federation.messages import parts_bytes
from fedtune3d.federation.privacy.secure_aggregation.vectors import length_of
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.secure_traffic import expected_traffic
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.packaged_weights import set_encoder_weights
from fedtune3d.models.tuning import read_state
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.draws import SeededDraws
from fedtune3d.training.fitting import fit_locally
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prediction import predict_logits
from fedtune3d.training.private import Protection, SampledGaussian, train_privately

SCANS = 2
STEPS = 2  # what the optimiser keeps is there from the second on


@dataclass(frozen=True)
class MeasuredCosts:
    """Costs of a model with its tuning and rule, on the machine where they were measured.

    Attributes:
        trainable_parameters: Number of trainable parameters.
        state_bytes: Size of the trainable state: of a checkpoint, and of the message for an evaluation.
        bytes_down: Bytes sent to a site per training round; under secure aggregation with the steps of the protocol.
        bytes_up: Bytes sent by a site per training round; under secure aggregation masked, with keys and shares.
        scored_states: States that a site scores on its validation scans per round.
        scores_training: Whether a site also scores its training scans.
        remembered_bytes: Size of what a site keeps for its next round.
        feature_bytes: Cached bytes per scan and view; 0 if nothing is cached.
        encode_seconds: Time to encode a scan for the cache; 0 if nothing is cached.
        step_seconds: Time of a training step per scan in the batch.
        forward_seconds: Time of a prediction per scan, from the cache if there is one, else from the scan.
        host_bytes: Peak memory of the process at the experiment's batch size, extrapolated from batches of 1 and 2.
        gpu_bytes: Peak memory that PyTorch takes on the GPU at that size, measured; None if the model runs on the CPU.
        device: Type of processor.
    """

    trainable_parameters: int
    state_bytes: int
    bytes_down: int
    bytes_up: int
    scored_states: int
    scores_training: bool
    remembered_bytes: int
    feature_bytes: int
    encode_seconds: float
    step_seconds: float
    forward_seconds: float
    host_bytes: int
    gpu_bytes: int | None
    device: str


@dataclass(frozen=True)
class _Outcome:
    """The result of the separate process: the costs, or the text of an `InputError`."""

    costs: MeasuredCosts | None
    fault: str | None


def measure_costs(experiment: Experiment) -> MeasuredCosts:
    """Measure in a separate process, so that its peak memory is the model's; random weights stand in for the file's.

    Raises:
        InputError: If the file of weights cannot be used, or the model cannot be built, for example because an extra is
            missing or memory runs out.
    """
    if experiment.model.weights != "random":
        set_encoder_weights(build_encoder(experiment.model.encoder), experiment.model.weights, 0)
    model = experiment.model.model_copy(update={"weights": "random"})
    line = to_line(experiment.model_copy(update={"model": model}))
    process = subprocess.run(
        [sys.executable, "-m", "fedtune3d.federation.site.costs"], input=line, text=True, capture_output=True
    )
    try:
        outcome = from_json(_Outcome, json.loads(process.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        cause = (process.stderr.strip().splitlines() or ["killed, probably because memory ran out"])[-1]
        raise InputError(f"{experiment.name}: the costs of one scan could not be measured: {cause}") from None
    if outcome.costs is None:
        raise InputError(f"{experiment.name}: {outcome.fault}")
    return outcome.costs


def main() -> None:
    """Measure the experiment read from standard input."""
    try:
        outcome = _Outcome(measure(from_line(sys.stdin.readline())), None)
    except InputError as error:
        outcome = _Outcome(None, str(error))
    print(json.dumps(to_json(outcome)), flush=True)


def measure(experiment: Experiment) -> MeasuredCosts:
    """Measure an experiment's costs in this process, with the model on its device."""
    process_model = ProcessModel(experiment)
    assembled = process_model.assembled
    rule = experiment.rule()
    sites = tuple(section.name for section in experiment.sites)
    initial = read_state(assembled.model, assembled.trainable)
    state, memory = rule.start(initial, process_model.context(sites))
    step = _later_step(rule, state, memory, sites)
    sent = step.expected_parts(state)
    bytes_down, bytes_up = _traffic(experiment, state, step)
    remembered = step.to_remember(state, sent, {}) | step.received_to_remember(state)
    features, encode_seconds = _encode(process_model)
    device = process_model.device
    before_training = _peak_bytes(device)
    tried = max(SCANS, experiment.training.batch_size) if device.type == "cuda" else SCANS
    step_seconds, growth = _step(process_model, features, tried)
    forward_seconds = _timed(lambda: predict_logits(assembled.model, _Noise(features, process_model, SCANS))) / SCANS
    return MeasuredCosts(
        trainable_parameters=sum(
            dict(assembled.model.named_parameters())[name].numel() for name in assembled.trainable.parameters
        ),
        state_bytes=state_bytes(state),
        bytes_down=bytes_down,
        bytes_up=bytes_up,
        scored_states=2 + len(step.states_to_score(state, remembered)),
        scores_training=step.scores_training,
        remembered_bytes=parts_bytes(remembered),
        feature_bytes=features.numel() * 2 if process_model.prefix.end else 0,
        encode_seconds=encode_seconds,
        step_seconds=step_seconds,
        forward_seconds=forward_seconds,
        host_bytes=peak_memory_bytes() + growth * max(0, experiment.training.batch_size - tried),
        gpu_bytes=max(before_training, _peak_bytes(device)) if device.type == "cuda" else None,
        device=device.type,
    )


def _later_step(rule: Rule, state: State, memory: Memory, sites: Sequence[str]) -> SiteStep:
    """Return the rule's site step after the first round, when the rule has something to remember."""
    sent = rule.site_step(memory, sites[0]).expected_parts(state)
    known = dict.fromkeys(rule.step_type.own_scalars, 1.0)
    updates = [Update(site, 1, sent.__getitem__, {}, 1.0, known) for site in sites]
    return rule.site_step(rule.aggregate(state, updates, memory).memory, sites[0])


def _traffic(experiment: Experiment, state: State, step: SiteStep) -> tuple[int, int]:
    """Return the bytes to and from a site per training round."""
    down, sent = parts_bytes({STATE: state, **pack_step(step).parts}), step.expected_parts(state)
    if not experiment.privacy.secure_aggregation:
        return down, parts_bytes(sent)
    names = sorted((site.name for site in experiment.sites), key=len, reverse=True)
    of_round = names[: drawn_sites(len(names), experiment.participation.fraction)]
    layout = values_to_sum(experiment.rule_of_sums().to_sum, step, state, state, sent)
    more_down, up = expected_traffic(of_round, length_of(layout))
    return down + more_down, up


class _Noise(ScanSet):
    """Scans of noise, as input to the trainable part of the model."""

    def __init__(self, features: torch.Tensor, process_model: ProcessModel, count: int) -> None:
        super().__init__([index % 2 for index in range(count)], process_model.prefix.end)
        self.features = features

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        return torch.stack([self.features for _ in indices])

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return [0] * count


def _encode(process_model: ProcessModel) -> tuple[torch.Tensor, float]:
    """Return the input to the trainable part of the model for a scan of noise, and the seconds it took to compute."""
    size = process_model.experiment.input.size
    scan = torch.randn(1, size, size, size, generator=torch.Generator().manual_seed(0))
    if process_model.prefix.end == 0:
        return scan, 0.0
    features = process_model.prefix.encode(scan)  # warm-up: the first pass also initialises libraries
    return features, _timed(lambda: process_model.prefix.encode(scan))


def _step(process_model: ProcessModel, features: torch.Tensor, scans: int) -> tuple[float, int]:
    """Return the seconds per scan of a training step on so many, and the additional memory per scan in a batch."""
    device = process_model.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    _train(process_model, _Noise(features, process_model, 1))
    before = _peak_bytes(device)
    seconds = _timed(lambda: _train(process_model, _Noise(features, process_model, scans)))
    return seconds / (STEPS * scans), (_peak_bytes(device) - before) // (scans - 1)


def _peak_bytes(device: torch.device) -> int:
    """Return the peak memory of PyTorch on a GPU, or of this process on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory_bytes()


def _train(process_model: ProcessModel, scans: ScanSet) -> None:
    """Take `STEPS` steps on all of the scans."""
    experiment, assembled = process_model.experiment, process_model.assembled
    if not assembled.trainable.parameters:
        for _ in range(STEPS):
            fit_locally(assembled.model, scans)
        return
    settings = dataclasses.replace(experiment.training, local_epochs=STEPS, min_steps=0, augmentation=None, views=1)
    local_round = LocalRound(experiment.seed, "costs", 1, 1)
    state = read_state(assembled.model, assembled.trainable)
    if (privacy := experiment.privacy.differential) is None:
        train_locally(assembled, state, scans, settings, local_round)
    else:
        people = [str(scan) for scan in range(len(scans))]
        protection = Protection(SampledGaussian(1.0, 1.0, STEPS), privacy.clip, SeededDraws(local_round))
        train_privately(assembled, state, scans, people, settings, protection, local_round)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
