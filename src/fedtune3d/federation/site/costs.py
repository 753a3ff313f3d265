"""Costs of a model on this machine: a forward pass and a training step, measured on noise in a separate process.

`python -m fedtune3d.federation.site.costs` reads the experiment as a line of JSON and prints a `MeasuredCosts` as one.
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
from fedtune3d._utils.state_dicts import State, state_bytes
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.aggregation.contract import Memory, Rule, Update
from fedtune3d.aggregation.site_step import STATE, SiteStep, pack_step
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import parts_bytes
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.local_trainer import peak_memory_bytes
from fedtune3d.models.encoders.input_grid import SIZE
from fedtune3d.models.tuning import read_state
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.fitting import fit_locally
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prediction import predict_logits

SCANS = 2


@dataclass(frozen=True)
class MeasuredCosts:
    """Costs of a model with a tuning and a rule, on the machine where it was measured.

    Attributes:
        trainable_parameters: How many numbers train.
        state_bytes: Of what trains: a checkpoint, and the message of the evaluation.
        bytes_down: To a site in a round of training.
        bytes_up: From a site in a round of training.
        scored_states: States that a site scores on its validation scans in a round.
        scores_training: Whether it also scores its training scans.
        remembered_bytes: What a site keeps for its next round.
        feature_bytes: Of a scan and view in the cache; 0 where nothing is cached.
        encode_seconds: To encode a scan for the cache; 0 where nothing is cached.
        step_seconds: A training step, per scan of the batch.
        forward_seconds: A prediction from the cache (or from the scan where nothing is cached), per scan.
        host_bytes: Peak memory of the process at the experiment's batch size, from batches of one and two.
        gpu_bytes: The same of the GPU; None where the model computes on the CPU.
        device: Kind of processor.
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
    """How the separate process ended: with costs, or with a fault of the input."""

    costs: MeasuredCosts | None
    fault: str | None


def measure_costs(experiment: Experiment) -> MeasuredCosts:
    """Measure in a separate process, so that peak memory is that of the model alone. Random weights cost the same.

    Raises:
        InputError: When the model cannot be made, such as when an extra is missing or memory runs out.
    """
    model = experiment.model.model_copy(update={"weights": "random"})
    values = experiment.model_copy(update={"model": model}).model_dump_json()
    process = subprocess.run(
        [sys.executable, "-m", "fedtune3d.federation.site.costs"], input=values + "\n", text=True, capture_output=True
    )
    try:
        outcome = from_json(_Outcome, json.loads(process.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        last = (process.stderr.strip().splitlines() or ["killed, probably because memory ran out"])[-1]
        raise InputError(f"{experiment.name}: the costs of one scan could not be measured: {last}") from None
    if outcome.costs is None:
        raise InputError(f"{experiment.name}: {outcome.fault}")
    return outcome.costs


def main() -> None:
    """Measure the experiment on standard input."""
    experiment = Experiment.model_validate_json(sys.stdin.readline())
    try:
        outcome = _Outcome(measure(experiment), None)
    except InputError as error:
        outcome = _Outcome(None, str(error))
    print(json.dumps(to_json(outcome)), flush=True)


def measure(experiment: Experiment) -> MeasuredCosts:
    """Measure in this process, with the model on its device."""
    process_model = ProcessModel(experiment)
    assembled = process_model.assembled
    rule = experiment.rule()
    sites = tuple(section.name for section in experiment.sites)
    initial = read_state(assembled.model, assembled.trainable)
    state, memory = rule.start(initial, process_model.context(sites))
    step = _later_step(rule, state, memory, sites)
    sent = step.expected_parts(state)
    remembered = step.to_remember(state, sent, {})
    features, encode_seconds = _encode(process_model)
    step_seconds, growth = _step(process_model, features)
    forward_seconds = _timed(lambda: predict_logits(assembled.model, _Noise(features, process_model, SCANS))) / SCANS
    return MeasuredCosts(
        trainable_parameters=sum(
            dict(assembled.model.named_parameters())[n].numel() for n in assembled.trainable.parameters
        ),
        state_bytes=state_bytes(state),
        bytes_down=parts_bytes({STATE: state, **pack_step(step).parts}),
        bytes_up=parts_bytes(sent),
        scored_states=2 + len(step.states_to_score(state, remembered)),
        scores_training=step.scores_training,
        remembered_bytes=parts_bytes(remembered),
        feature_bytes=features.numel() * 2 if process_model.prefix.end else 0,
        encode_seconds=encode_seconds,
        step_seconds=step_seconds,
        forward_seconds=forward_seconds,
        host_bytes=peak_memory_bytes() + growth * max(0, experiment.training.batch_size - SCANS),
        gpu_bytes=torch.cuda.max_memory_allocated() if process_model.device.type == "cuda" else None,
        device=process_model.device.type,
    )


def _later_step(rule: Rule, state: State, memory: Memory, sites: Sequence[str]) -> SiteStep:
    """The rule's part at a site after the first round, when it has something to remember."""
    sent = rule.site_step(memory, sites[0]).expected_parts(state)
    updates = [Update(site, 1, sent.__getitem__) for site in sites]
    return rule.site_step(rule.aggregate(state, updates, memory).memory, sites[0])


class _Noise(ScanSet):
    """Scans of noise, as the trained part of the model takes them."""

    def __init__(self, one: torch.Tensor, process_model: ProcessModel, count: int) -> None:
        super().__init__([index % 2 for index in range(count)], process_model.prefix.end)
        self.one = one

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        return torch.stack([self.one for _ in indices])

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return [0] * count


def _encode(process_model: ProcessModel) -> tuple[torch.Tensor, float]:
    """What the trained part of the model takes of a scan of noise, and how long that took."""
    scan = torch.randn(1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    if process_model.prefix.end == 0:
        return scan, 0.0
    features = process_model.prefix.encode(scan)  # the first pass also sets up the library
    return features, _timed(lambda: process_model.prefix.encode(scan))


def _step(process_model: ProcessModel, features: torch.Tensor) -> tuple[float, int]:
    """Seconds of a step per scan, and the memory that a batch grows by with each scan."""
    _train(process_model, _Noise(features, process_model, 1))
    before = peak_memory_bytes()
    seconds = _timed(lambda: _train(process_model, _Noise(features, process_model, SCANS)))
    return seconds / SCANS, (peak_memory_bytes() - before) // (SCANS - 1)


def _train(process_model: ProcessModel, scans: ScanSet) -> None:
    experiment, assembled = process_model.experiment, process_model.assembled
    if not assembled.trainable.parameters:
        fit_locally(assembled.model, scans)
        return
    settings = dataclasses.replace(experiment.training, local_epochs=1, augmentation=None, views=1)
    local_round = LocalRound(experiment.seed, "costs", 1, 1)
    state = read_state(assembled.model, assembled.trainable)
    train_locally(assembled, state, scans, settings, local_round)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
