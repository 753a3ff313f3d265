"""Any rule over LoRA factors, in one of four ways."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.ranges import Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import example_counts, in_site_order, shares, weighted_average
from fedtune3d.aggregation.changes import parameters_at_start
from fedtune3d.aggregation.checks import find_fault
from fedtune3d.aggregation.contract import (
    WEIGHTS_SUM_TO_ONE,
    Aggregate,
    Memory,
    Rule,
    RuleContext,
    Update,
)
from fedtune3d.aggregation.lora_factors import (
    FactorPair,
    averaging_error,
    factor_pairs,
    from_products,
    to_products,
    zero_residuals,
)
from fedtune3d.aggregation.site_step import STATE, SiteStep

LoraMode = Literal["factors", "exact", "freeze_a", "restart"]
MODES: tuple[LoraMode, ...] = get_args(LoraMode)
AVERAGING_ERROR = "lora_averaging_error"
FROZEN, INNER = "frozen", "rule"


@dataclass(frozen=True)
class LoraRule(Rule):
    """A rule over a state that holds LoRA factors (`lora_factors.py` has names and shapes).

    * ``factors``: the rule runs on A and B as on any tensor. Cheap and inexact: mean(B) mean(A) ≠ mean(B A).
    * ``exact``: the rule runs in product space, with R + s B A of each site in place of its factors. The next factors
      are the sites' averaged ones, and what their product lacks is added to the residual R, which comes down to the
      sites: FedEx-LoRA, Singhal et al. 2024, arXiv:2410.09432. The paper averages only; that any rule's result goes
      through the residual is ours, as is the rule's own weights in the factors' average (training examples for a rule
      without weights).
    * ``freeze_a``: A stays as it began; only B trains and goes back. Exact by construction: FFA-LoRA, Sun et al. 2024,
      arXiv:2403.12313.
    * ``restart``: as ``exact``, but A returns to what came down, B to 0, and all of the product goes into the residual:
      Rate-My-LoRA's printed form.

    Every round the averaging error of the factors is a round signal, whatever the mode. The proximal term of FedProx is
    over the factors in every mode. FedCE's cosine and its leave-one-out state are in product space for ``exact`` and
    ``restart``, in factor space otherwise.

    Holds what the rule holds, with each product (out × in, float64) in place of its factors in product space, and one
    more product per adapted matrix for the averaging error. Remembers what the rule remembers.

    Args:
        rule: The rule to run.
        mode: One of the four.
        scaling: s = alpha / rank, above 0.
    """

    needs_single_updates = True  # products, and the averaging error, are of single updates
    rule: Rule
    mode: LoraMode
    scaling: Positive = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._runs_on_products and not self.rule.in_product_space:
            raise InputError(
                f"rule {self.rule.name}: what its sites send back is about factors and has no meaning for products; "
                f"expected LoRA averaging factors or freeze_a, got {self.mode}"
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """The rule's."""
        return self.rule.name

    @property
    def step_type(self) -> type[SiteStep]:  # type: ignore[override]
        """The rule's."""
        return self.rule.step_type

    @property
    def implies(self) -> frozenset[str]:  # type: ignore[override]
        """The rule's; a restart returns nobody's factors."""
        return self.rule.implies & {WEIGHTS_SUM_TO_ONE} if self.mode == "restart" else self.rule.implies

    @property
    def _runs_on_products(self) -> bool:
        return self.mode in ("exact", "restart")

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        """The state, with residuals of zeros for ``exact`` and ``restart``. Raises `InputError` without factors."""
        pairs = factor_pairs(state)
        parameters = set(parameters_at_start(state, context))
        if not self._runs_on_products:
            frozen = sorted(pair.a for pair in pairs) if self.mode == "freeze_a" else []
            state, memory = self.rule.start(state, replace(context, parameters=tuple(sorted(parameters - {*frozen}))))
            return state, _wrap(memory, frozen)
        state = state | zero_residuals(state, pairs)
        products = to_products(state, pairs, self.scaling)
        names = tuple(sorted((parameters & products.keys()) | {pair.product for pair in pairs}))
        _, memory = self.rule.start(products, replace(context, parameters=names))
        return state, _wrap(memory, sorted(pair.residual for pair in pairs))

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        step = self.rule.site_step(_unwrap(memory), site)
        if self._runs_on_products:
            step = step.in_product_space(self.scaling)
        return replace(step, frozen=(*step.frozen, *_frozen(memory)))

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        pairs = factor_pairs(state)
        ordered = [self._complete(update, state, memory) for update in in_site_order(updates)]
        if self._runs_on_products:
            result = self._aggregate_products(state, ordered, _unwrap(memory), pairs)
        else:
            result = self.rule.aggregate(state, ordered, _unwrap(memory))
        weights = result.weights or shares(example_counts(updates))
        signals = result.round_signals | {AVERAGING_ERROR: averaging_error(ordered, weights, pairs)}
        return replace(result, memory=_wrap(result.memory, _frozen(memory)), round_signals=signals)

    def _aggregate_products(
        self, state: State, updates: Sequence[Update], memory: Memory, pairs: Sequence[FactorPair]
    ) -> Aggregate:
        in_products = [_with_state(update, lambda own: to_products(own, pairs, self.scaling)) for update in updates]
        result = self.rule.aggregate(to_products(state, pairs, self.scaling), in_products, memory)
        factors = {name: state[name] for pair in pairs for name in (pair.a, pair.b)}
        if self.mode == "restart":
            factors |= {pair.b: torch.zeros_like(state[pair.b]) for pair in pairs}
        else:
            only_factors = [
                _with_state(update, lambda own: {name: own[name] for name in factors}) for update in updates
            ]
            factors = weighted_average(factors, only_factors, result.weights or example_counts(updates))
        after = from_products(result.state, factors, pairs, self.scaling)
        return replace(result, state={name: after[name] for name in state})

    def _complete(self, update: Update, state: State, memory: Memory) -> Update:
        """The update with the frozen names, which did not come back, as they went down."""
        expected = self.site_step(memory, update.site).expected_parts(state)[STATE]

        def complete(received: State) -> State:
            if fault := find_fault(expected, received):
                raise ValueError(f"site {update.site}: {fault}")
            return received | {name: state[name] for name in _frozen(memory)}

        return _with_state(update, complete)


def _with_state(update: Update, change: Callable[[State], State]) -> Update:
    """The update whose state is passed through `change` each time that it is read."""

    def load(part: str) -> State:
        loaded = update.load(part)
        return change(loaded) if part == STATE else loaded

    return replace(update, load=load)


def _wrap(memory: Memory, frozen: Sequence[str]) -> Memory:
    return Memory({FROZEN: list(frozen), INNER: dict(memory.values)}, memory.tensors)


def _unwrap(memory: Memory) -> Memory:
    values = memory.values[INNER]
    assert isinstance(values, Mapping)  # as `_wrap` wrote it
    return Memory(values, memory.tensors)


def _frozen(memory: Memory) -> list[str]:
    return memory.read(FROZEN, list[str])
