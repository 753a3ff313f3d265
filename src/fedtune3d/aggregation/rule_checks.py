"""Checks of an aggregation rule's server side; `fedtune3d.testing.check_rule` runs them all.

The test state contains float64, float32, float16 and bfloat16 tensors, LoRA factors, a batch counter, a mask and a
normalisation layer. Rounds have up to five sites, one without a validation set and one with a single class.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from fedtune3d._utils.seeds import numpy_rng, torch_rng
from fedtune3d._utils.state_dicts import State, load_info, load_state, save_state, state_sha256
from fedtune3d.aggregation.contract import (
    EQUAL_UPDATES_RETURN_THEMSELVES,
    LONE_SITE_RETURNS_ITSELF,
    WEIGHTS_SUM_TO_ONE,
    Aggregate,
    Memory,
    Rule,
    RuleContext,
    Update,
)
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE, SiteScore
from fedtune3d.aggregation.site_step import STATE, PackedStep, SiteStep, pack_step, unpack_step

SITES = ("Aachen", "Basel", "Cork", "Delft", "Evora")
NO_VALIDATION, ONE_CLASS = "Cork", "Delft"
CONTEXT = RuleContext(
    sites=SITES,
    parameters=(
        "block.q.lora_A.default.weight",
        "block.q.lora_B.default.weight",
        "head.bias",
        "head.weight",
        "norm.weight",
    ),
    normalisation=("norm.batches", "norm.mean", "norm.weight"),
    optimizer="sgd",
)
TOLERANCE = 1e-6


def first_state() -> State:
    """Create the initial state of the checks."""
    random = torch_rng("contract suite")
    return {
        "block.q.lora_A.default.weight": torch.randn(2, 5, generator=random),
        "block.q.lora_B.default.weight": torch.randn(4, 2, generator=random),
        "head.bias": torch.randn(3, generator=random).half(),
        "head.scale": torch.randn(3, generator=random).bfloat16(),
        "head.weight": torch.randn(3, 4, generator=random, dtype=torch.float64),
        "norm.batches": torch.tensor(3),
        "norm.mask": torch.tensor([True, False]),
        "norm.mean": torch.randn(4, generator=random),
        "norm.weight": torch.randn(4, generator=random),
    }


def make_update(state: State, step: SiteStep, site: str, round_number: int, like: str | None = None) -> Update:
    """Create an update of `site` in a round; with `like`, its state is that of the site of that name."""
    tensors = {
        part: _trained(expected, like or site, round_number)
        if part == STATE
        else _random_like(expected, site, round_number)
        for part, expected in step.expected_parts(state).items()
    }
    random = numpy_rng("contract suite", site, round_number)
    loss = float(random.uniform(0.2, 1.0)) if step.scores_training else None
    names: list[str] = []
    if site != NO_VALIDATION:
        remembered = step.to_remember(state, tensors, {}) | step.received_to_remember(state)
        names = [RECEIVED_SCORE, SENT_SCORE, *step.states_to_score(state, remembered)]
    scores = {
        name: SiteScore(float(random.uniform(0.4, 0.9)), "loss" if site == ONE_CLASS else "auc", 10) for name in names
    }
    scalars = step.scalars(state, state | tensors[STATE], step.to_remember(state, tensors, {}))
    return Update(site, int(random.integers(2, 60)), lambda part: tensors[part], scores, loss, scalars)


def run_rounds(
    rule: Rule,
    rounds: Iterable[Sequence[str]],
    arrange: Callable[[list[Update]], list[Update]] = list,
    keep: Callable[[Memory], Memory] = lambda memory: memory,
) -> list[Aggregate]:
    """Run rounds with the given sites; `arrange` orders updates, `keep` stores and reloads the memory in between."""
    state, memory = rule.start(first_state(), CONTEXT)
    results = []
    for number, sites in enumerate(rounds):
        updates = [make_update(state, rule.site_step(memory, site), site, number) for site in sites]
        result = rule.aggregate(state, arrange(updates), memory)
        state, memory = result.state, keep(result.memory)
        results.append(result)
    return results


def check_site_order(rule: Rule) -> None:
    """Check that state, weights, memory and signals are bit-identical for any order of updates."""
    rounds = [SITES, SITES[1:], SITES]
    expected = fingerprints(run_rounds(rule, rounds))
    arrangements: tuple[Callable[[list[Update]], list[Update]], ...] = (
        lambda updates: updates[::-1],
        lambda updates: updates[2:] + updates[:2],
    )
    for arrange in arrangements:
        _require(fingerprints(run_rounds(rule, rounds, arrange)) == expected, "the order of updates changes the result")


def check_inputs_unchanged(rule: Rule) -> None:
    """Check that the rule does not modify the state, the updates or the memory passed to it."""
    state, memory = rule.start(first_state(), CONTEXT)
    for number in range(3):
        steps = {site: rule.site_step(memory, site) for site in SITES}
        updates = [make_update(state, step, site, number) for site, step in steps.items()]
        before = _bits(state, memory, updates)
        result = rule.aggregate(state, updates, memory)
        _require(_bits(state, memory, updates) == before, f"round {number}: the rule changed its arguments")
        state, memory = result.state, result.memory


def check_memory_on_disk(rule: Rule) -> None:
    """Check that a memory saved and loaded between rounds (JSON and safetensors) gives bit-identical results."""
    rounds = [SITES, SITES[:2], SITES]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.safetensors"

        def keep(memory: Memory) -> Memory:
            save_state(path, memory.tensors, json.loads(json.dumps(memory.values, allow_nan=False)))
            return Memory(load_info(path), load_state(path))

        equal = fingerprints(run_rounds(rule, rounds, keep=keep)) == fingerprints(run_rounds(rule, rounds))
        _require(equal, "the memory differs after being saved and loaded")


def check_names_shapes_dtypes(rule: Rule) -> None:
    """Check that names, shapes and dtypes do not change, values are finite, and a mask equal at all sites is kept."""
    state, _ = rule.start(first_state(), CONTEXT)
    for result in run_rounds(rule, [SITES] * 3):
        _require(list(result.state) == list(state), "names or their order have changed")
        for name, tensor in result.state.items():
            expected = state[name]
            _require(
                (tensor.dtype, tensor.shape) == (expected.dtype, expected.shape), f"{name}: dtype or shape changed"
            )
            _require(bool(torch.isfinite(tensor).all()), f"{name}: not finite")
        _require(
            torch.equal(result.state["norm.mask"], torch.tensor([False, True])), "norm.mask: not what all sites sent"
        )


def check_step_is_data(rule: Rule) -> None:
    """Check that steps are of the rule's `step_type` and survive being sent as JSON values and state dicts."""
    state, memory = rule.start(first_state(), CONTEXT)
    for number in range(2):
        steps = {site: rule.site_step(memory, site) for site in SITES}
        for step in steps.values():
            _require(type(step) is rule.step_type, f"step_type is {rule.step_type.__name__}, got {step}")
            packed = pack_step(step)
            values = json.loads(json.dumps(packed.values, allow_nan=False))
            rebuilt = unpack_step(rule.step_type, PackedStep(values, packed.parts))
            _require(pack_step(rebuilt).values == packed.values, f"{step} is not the same after being sent to the site")
            names = {*step.keep_local, *step.frozen}
            _require(names <= state.keys(), f"not in the state: {names - state.keys()}")
        result = rule.aggregate(state, [make_update(state, steps[site], site, number) for site in SITES], memory)
        state, memory = result.state, result.memory


def check_few_sites(rule: Rule) -> None:
    """Check rounds with one or two sites, late sites, and sites without a validation set or with one class."""
    for result in run_rounds(rule, [(NO_VALIDATION,), (ONE_CLASS,), (NO_VALIDATION, ONE_CLASS), SITES[:1], SITES]):
        _require(all(bool(torch.isfinite(tensor).all()) for tensor in result.state.values()), "not finite")
        for signals in result.signals.values():
            _require(all(math.isfinite(value) for value in signals.values()), f"not finite: {signals}")
        if result.weights is not None:
            _require(all(0 <= weight <= 1 for weight in result.weights.values()), f"weights: {result.weights}")


def check_refusal(rule: Rule) -> None:
    """Check that an update with NaN or a missing name is refused with a `ValueError` that names its site."""
    state, memory = rule.start(first_state(), CONTEXT)
    steps = {site: rule.site_step(memory, site) for site in SITES}
    for fault in ("nan", "missing"):
        updates = [make_update(state, step, site, 0) for site, step in steps.items()]
        updates[1].load(STATE)["head.weight"][0, 0] = math.nan
        if fault == "missing":
            del updates[1].load(STATE)["head.weight"]
        try:
            rule.aggregate(state, updates, memory)
        except ValueError as error:
            _require(SITES[1] in str(error), f"the refusal does not name the site: {error}")
        else:
            raise AssertionError(f"a faulty update ({fault}) was not refused")


def check_weights_sum_to_one(rule: Rule) -> None:
    """Check that the weights are those of the round's sites and sum to 1, if the rule declares this."""
    rounds = [SITES, SITES[:3], SITES]
    for sites, result in zip(rounds, run_rounds(rule, rounds), strict=True):
        if WEIGHTS_SUM_TO_ONE in rule.implies:
            weights = result.weights or {}
            _require(set(weights) == set(sites), f"expected weights of {sorted(sites)}, got {sorted(weights)}")
            _require(abs(math.fsum(weights.values()) - 1) <= TOLERANCE, f"weights do not sum to 1: {weights}")


def check_lone_site(rule: Rule) -> None:
    """Check that a lone site gets its own state back, also after rounds with others, if the rule declares this."""
    if LONE_SITE_RETURNS_ITSELF in rule.implies:
        _check_returned(rule, SITES[1:2])


def check_equal_updates(rule: Rule) -> None:
    """Check that equal updates give the same state, also after rounds with unequal ones, if the rule declares this."""
    if EQUAL_UPDATES_RETURN_THEMSELVES in rule.implies:
        _check_returned(rule, SITES)


CHECKS: tuple[Callable[[Rule], None], ...] = (
    check_site_order,
    check_inputs_unchanged,
    check_memory_on_disk,
    check_names_shapes_dtypes,
    check_step_is_data,
    check_few_sites,
    check_refusal,
    check_weights_sum_to_one,
    check_lone_site,
    check_equal_updates,
)


def fingerprints(results: Sequence[Aggregate]) -> list[str]:
    """Return a text per aggregate that differs if any bit of it does."""
    return [
        json.dumps(
            [state_sha256(r.state), r.weights, _memory_text(r.memory), r.signals, r.round_signals], sort_keys=True
        )
        for r in results
    ]


def _check_returned(rule: Rule, sites: Sequence[str]) -> None:
    state, memory = rule.start(first_state(), CONTEXT)
    for number in range(2):
        updates = [make_update(state, rule.site_step(memory, site), site, number) for site in SITES]
        result = rule.aggregate(state, updates, memory)
        state, memory = result.state, result.memory
    updates = [make_update(state, rule.site_step(memory, site), site, 2, like=SITES[1]) for site in sites]
    after = rule.aggregate(state, updates, memory).state
    for name, tensor in updates[0].load(STATE).items():
        error = float((after[name].double() - tensor.double()).abs().max())
        _require(error <= TOLERANCE * max(1.0, float(tensor.double().abs().max())), f"{name}: differs by {error}")


def _trained(state: State, site: str, round_number: int) -> State:
    """Return a randomly changed state; the counter is increased by the round number, the mask is inverted."""
    random = torch_rng("contract suite", site, round_number)
    moved: State = {}
    for name, tensor in state.items():
        if tensor.is_floating_point():
            step = 0.1 * torch.randn(tensor.shape, generator=random, dtype=torch.float64)
            moved[name] = (tensor.double() + step).to(tensor.dtype)
        else:
            moved[name] = torch.tensor([False, True]) if tensor.dtype == torch.bool else tensor + round_number
    return moved


def _random_like(tensors: State, site: str, round_number: int) -> State:
    random = torch_rng("contract suite", "control", site, round_number)
    return {
        name: torch.randn(tensor.shape, generator=random, dtype=torch.float64).to(tensor.dtype)
        for name, tensor in tensors.items()
    }


def _bits(state: State, memory: Memory, updates: Sequence[Update]) -> list[str | list[str]]:
    return [state_sha256(state), _memory_text(memory), [state_sha256(update.load(STATE)) for update in updates]]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _memory_text(memory: Memory) -> str:
    return json.dumps([dict(memory.values), state_sha256(memory.tensors)], sort_keys=True)
