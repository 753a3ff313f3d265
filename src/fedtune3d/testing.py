"""What every rule must hold to, as checks to run on any of them: ``check_rule(MyRule())``.

The state of the checks mixes float64, float32, float16 and bfloat16, LoRA factors, a batch counter, a mask and a
normalisation layer. Rounds have five sites or fewer, among them one without a validation set and one with one class.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from fedtune3d._utils.seeds import numpy_rng, torch_rng
from fedtune3d._utils.state_dicts import State, load_info, load_state, save_state, state_sha256
from fedtune3d.aggregation.contract import (
    CONTROL_CHANGE,
    EQUAL_UPDATES_RETURN_THEMSELVES,
    KIND,
    LEAVE_ONE_OUT_SCORE,
    LONE_SITE_RETURNS_ITSELF,
    RECEIVED_SCORE,
    RECEIVED_TRAINING_LOSS,
    SENT_SCORE,
    STATE,
    WEIGHTS_SUM_TO_ONE,
    Aggregate,
    LocalPlan,
    Memory,
    Rule,
    RuleContext,
    Update,
)

SITES = ("Aachen", "Basel", "Cork", "Delft", "Evora")
NO_VALIDATION, ONE_CLASS = "Cork", "Delft"
SETTING = RuleContext(
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
    """The state that the checks begin with."""
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


def make_update(state: State, plan: LocalPlan, site: str, round_number: int, like: str | None = None) -> Update:
    """What `site` might send back in a round; with `like`, with the state that the site of that name would send."""
    tensors = {
        STATE: _trained(state, (*plan.keep_local, *plan.frozen), like or site, round_number),
        CONTROL_CHANGE: _random_like(plan.tensors.get("control", {}), site, round_number),
    }
    drawn = numpy_rng("contract suite", site, round_number)
    metrics: dict[str, float | str] = {RECEIVED_TRAINING_LOSS: float(drawn.uniform(0.2, 1.0))}
    for metric in (RECEIVED_SCORE, SENT_SCORE, LEAVE_ONE_OUT_SCORE):
        asked = metric != LEAVE_ONE_OUT_SCORE or "leave_one_out" in plan.scores
        if site != NO_VALIDATION and asked:
            metrics |= {metric: float(drawn.uniform(0.4, 0.9)), metric + KIND: "loss" if site == ONE_CLASS else "auc"}
    return Update(site, int(drawn.integers(2, 60)), lambda part: tensors[part], metrics)


def run_rounds(
    rule: Rule,
    rounds: Iterable[Sequence[str]],
    arrange: Callable[[list[Update]], list[Update]] = list,
    keep: Callable[[Memory], Memory] = lambda memory: memory,
) -> list[Aggregate]:
    """The aggregates of rounds with the given sites; `arrange` orders updates, `keep` stores memory in between."""
    state, memory = rule.start(first_state(), SETTING)
    results = []
    for number, sites in enumerate(rounds):
        updates = [make_update(state, rule.local_plan(memory, site), site, number) for site in sites]
        result = rule.aggregate(state, arrange(updates), memory)
        state, memory = result.state, keep(result.memory)
        results.append(result)
    return results


def check_site_order(rule: Rule) -> None:
    """The order of updates does not change a bit of the state, the weights, the memory or the signals."""
    rounds = [SITES, SITES[1:], SITES]
    expected = fingerprints(run_rounds(rule, rounds))
    arrangements: tuple[Callable[[list[Update]], list[Update]], ...] = (
        lambda updates: updates[::-1],
        lambda updates: updates[2:] + updates[:2],
    )
    for arrange in arrangements:
        _require(fingerprints(run_rounds(rule, rounds, arrange)) == expected, "the order of updates changes the result")


def check_inputs_unchanged(rule: Rule) -> None:
    """State, updates and memory are as before after the rule has run."""
    state, memory = rule.start(first_state(), SETTING)
    for number in range(3):
        plans = {site: rule.local_plan(memory, site) for site in SITES}
        updates = [make_update(state, plan, site, number) for site, plan in plans.items()]
        before = _bits(state, memory, updates)
        result = rule.aggregate(state, updates, memory)
        _require(_bits(state, memory, updates) == before, f"round {number} changed what it was given")
        state, memory = result.state, result.memory


def check_memory_on_disk(rule: Rule) -> None:
    """A memory that has been to disk between rounds (JSON and safetensors) gives the same bits."""
    rounds = [SITES, SITES[:2], SITES]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.safetensors"

        def keep(memory: Memory) -> Memory:
            save_state(path, memory.tensors, json.loads(json.dumps(memory.values, allow_nan=False)))
            return Memory(load_info(path), load_state(path))

        same = fingerprints(run_rounds(rule, rounds, keep=keep)) == fingerprints(run_rounds(rule, rounds))
        _require(same, "the memory does not survive the disk")


def check_names_shapes_dtypes(rule: Rule) -> None:
    """Names, shapes and dtypes stay, values are finite, and a counter and a mask that all sites share stay theirs."""
    state, _ = rule.start(first_state(), SETTING)
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


def check_plan(rule: Rule) -> None:
    """A plan is data: JSON values, tensors by name, and only names that the state has."""
    state, memory = rule.start(first_state(), SETTING)
    for number in range(2):
        plans = {site: rule.local_plan(memory, site) for site in SITES}
        for plan in plans.values():
            json.dumps(dict(plan.values), allow_nan=False)
            names = {*plan.keep_local, *plan.frozen}.union(*plan.tensors.values())
            _require(names <= state.keys(), f"not in the state: {names - state.keys()}")
        result = rule.aggregate(state, [make_update(state, plans[s], s, number) for s in SITES], memory)
        state, memory = result.state, result.memory


def check_few_sites(rule: Rule) -> None:
    """Rounds of one or two sites, of sites that come late, without a validation set or of one class, end well."""
    for result in run_rounds(rule, [(NO_VALIDATION,), (ONE_CLASS,), (NO_VALIDATION, ONE_CLASS), SITES[:1], SITES]):
        _require(all(bool(torch.isfinite(tensor).all()) for tensor in result.state.values()), "not finite")
        for signals in result.signals.values():
            _require(all(math.isfinite(value) for value in signals.values()), f"not finite: {signals}")
        if result.weights is not None:
            _require(all(0 <= weight <= 1 for weight in result.weights.values()), f"weights: {result.weights}")


def check_refusal(rule: Rule) -> None:
    """An update with NaN, or without a name, is refused with a `ValueError` that names its site."""
    state, memory = rule.start(first_state(), SETTING)
    plans = {site: rule.local_plan(memory, site) for site in SITES}
    for fault in ("nan", "missing"):
        updates = [make_update(state, plan, site, 0) for site, plan in plans.items()]
        updates[1].load(STATE)["head.weight"][0, 0] = math.nan
        if fault == "missing":
            del updates[1].load(STATE)["head.weight"]
        try:
            rule.aggregate(state, updates, memory)
        except ValueError as error:
            _require(SITES[1] in str(error), f"the refusal does not name the site: {error}")
        else:
            raise AssertionError(f"an update with a fault ({fault}) was not refused")


def check_weights_sum_to_one(rule: Rule) -> None:
    """Where the rule declares it: weights for the sites of the round, summing to 1."""
    rounds = [SITES, SITES[:3], SITES]
    for sites, result in zip(rounds, run_rounds(rule, rounds), strict=True):
        if WEIGHTS_SUM_TO_ONE in rule.implies:
            weights = result.weights or {}
            _require(set(weights) == set(sites), f"weights of {sorted(weights)}, expected of {sorted(sites)}")
            _require(abs(math.fsum(weights.values()) - 1) <= TOLERANCE, f"weights do not sum to 1: {weights}")


def check_lone_site(rule: Rule) -> None:
    """Where the rule declares it: a lone site returns its own state, also after rounds with others."""
    if LONE_SITE_RETURNS_ITSELF in rule.implies:
        _check_returned(rule, SITES[1:2])


def check_equal_updates(rule: Rule) -> None:
    """Where the rule declares it: equal updates return themselves, also after rounds with unequal ones."""
    if EQUAL_UPDATES_RETURN_THEMSELVES in rule.implies:
        _check_returned(rule, SITES)


CHECKS: tuple[Callable[[Rule], None], ...] = (
    check_site_order,
    check_inputs_unchanged,
    check_memory_on_disk,
    check_names_shapes_dtypes,
    check_plan,
    check_few_sites,
    check_refusal,
    check_weights_sum_to_one,
    check_lone_site,
    check_equal_updates,
)


def check_rule(rule: Rule) -> None:
    """Run every check on a rule. Raises `AssertionError` saying what does not hold."""
    for check in CHECKS:
        check(rule)


def fingerprints(results: Sequence[Aggregate]) -> list[str]:
    """Per aggregate, text that differs where one bit does."""
    return [
        json.dumps(
            [state_sha256(r.state), r.weights, _memory_text(r.memory), r.signals, r.round_signals], sort_keys=True
        )
        for r in results
    ]


def _check_returned(rule: Rule, sites: Sequence[str]) -> None:
    state, memory = rule.start(first_state(), SETTING)
    for number in range(2):
        updates = [make_update(state, rule.local_plan(memory, site), site, number) for site in SITES]
        result = rule.aggregate(state, updates, memory)
        state, memory = result.state, result.memory
    updates = [make_update(state, rule.local_plan(memory, site), site, 2, like=SITES[1]) for site in sites]
    after = rule.aggregate(state, updates, memory).state
    for name, tensor in updates[0].load(STATE).items():
        far = float((after[name].double() - tensor.double()).abs().max())
        _require(far <= TOLERANCE * max(1.0, float(tensor.double().abs().max())), f"{name}: {far} away")


def _trained(state: State, left_out: Sequence[str], site: str, round_number: int) -> State:
    """A state moved at random; the counter goes up by the round's number, the mask is turned."""
    drawn = torch_rng("contract suite", site, round_number)
    moved: State = {}
    for name, tensor in state.items():
        if tensor.is_floating_point():
            step = 0.1 * torch.randn(tensor.shape, generator=drawn, dtype=torch.float64)
            moved[name] = (tensor.double() + step).to(tensor.dtype)
        else:
            moved[name] = torch.tensor([False, True]) if tensor.dtype == torch.bool else tensor + round_number
    return {name: tensor for name, tensor in moved.items() if name not in left_out}


def _random_like(tensors: State, site: str, round_number: int) -> State:
    drawn = torch_rng("contract suite", "control", site, round_number)
    return {name: torch.randn(t.shape, generator=drawn, dtype=torch.float64).to(t.dtype) for name, t in tensors.items()}


def _bits(state: State, memory: Memory, updates: Sequence[Update]) -> list[Any]:
    parts = [[state_sha256(update.load(STATE)), state_sha256(update.load(CONTROL_CHANGE))] for update in updates]
    return [state_sha256(state), _memory_text(memory), parts]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _memory_text(memory: Memory) -> str:
    return json.dumps([dict(memory.values), state_sha256(memory.tensors)], sort_keys=True)
