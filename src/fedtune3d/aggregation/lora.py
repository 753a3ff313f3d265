"""Any aggregation rule over LoRA factors, in one of four modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, get_args

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
    LoraMode,
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
from fedtune3d.aggregation.sums import SumRule, Sums, Weighing, on_sums

MODES: tuple[LoraMode, ...] = get_args(LoraMode)
AVERAGING_ERROR = "lora_averaging_error"
FROZEN, INNER = "frozen", "rule"


@dataclass(frozen=True)
class LoraRule(SumRule):
    """An aggregation rule over a state with LoRA factors (see `lora_factors.py` for names and shapes).

    * ``factors``: the rule is applied to A and B as to any tensor. Cheap but inexact: mean(B) mean(A) ≠ mean(B A).
    * ``exact``: the rule is applied in product space, to each site's R + s B A instead of its factors. The next factors
      are the sites' averaged ones, and the difference to the aggregated product is added to the residual R, which is
      sent to the sites: FedEx-LoRA, Singhal et al. 2024, arXiv:2410.09432. The paper covers averaging only; we extend
      it to any rule's result and average the factors with the rule's weights (by training examples if it has none).
    * ``freeze_a``: A keeps its initial value; only B is trained and sent back. Exact by construction: FFA-LoRA, Sun et
      al. 2024, arXiv:2403.12313.
    * ``restart``: as ``exact``, but A is reset to the value sent to the sites and B to 0, and the whole product goes
      into the residual: the printed form of Rate-My-LoRA.

    The averaging error of the factors is a round signal in every mode, unless secure aggregation hides the updates; the
    sums of ``exact`` and ``restart`` are then sums of products, which are dense matrices. FedProx's proximal term is
    over the factors in every mode. FedCE's cosine and leave-one-out state are in product space for ``exact`` and
    ``restart``, otherwise in factor space.

    Memory use: that of the rule, with each product (out × in, float64) instead of its factors in product space, and one
    more product per adapted matrix for the averaging error. Between rounds, only the rule's memory is kept.

    Args:
        rule: The rule to apply.
        mode: One of the four modes.
        scaling: s = alpha / rank, above 0.
    """

    rule: Rule
    mode: LoraMode
    scaling: Positive = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._runs_on_products and not self.rule.in_product_space:
            raise InputError(
                f"rule {self.rule.name}: its sites send quantities of the factors, which are undefined for products; "
                f"expected LoRA averaging factors or freeze_a, got {self.mode}"
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """The rule's name."""
        return self.rule.name

    @property
    def step_type(self) -> type[SiteStep]:  # type: ignore[override]
        """The rule's class of site steps."""
        return self.rule.step_type

    @property
    def implies(self) -> frozenset[str]:  # type: ignore[override]
        """The rule's properties; a restart returns no site's factors."""
        return self.rule.implies & {WEIGHTS_SUM_TO_ONE} if self.mode == "restart" else self.rule.implies

    @property
    def _runs_on_products(self) -> bool:
        return self.mode in ("exact", "restart")

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        """Return the initial state, with zero residuals for ``exact`` and ``restart``, and the memory.

        Raises:
            InputError: If the state has no LoRA factors, or the rule cannot be used in the context.
        """
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
        """Apply the rule to the factors or their products, and report the averaging error."""
        pairs = factor_pairs(state)
        ordered = [self._complete(update, state, memory) for update in in_site_order(updates)]
        if self._runs_on_products:
            result = self._aggregate_products(state, ordered, _unwrap(memory), pairs)
        else:
            result = self.rule.aggregate(state, ordered, _unwrap(memory))
        weights = result.weights or shares(example_counts(updates))
        signals = result.round_signals | {AVERAGING_ERROR: averaging_error(ordered, weights, pairs)}
        return replace(result, memory=_wrap(result.memory, _frozen(memory)), round_signals=signals)

    def weigh(self, updates: Sequence[Update], memory: Memory) -> Weighing:
        """Weight the updates as the inner rule does."""
        return self._rule_of_sums.weigh(updates, _unwrap(memory))

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        """Apply the inner rule to the factors, or to their products and back to factors of the same rank."""
        frozen, inner = _frozen(memory), _unwrap(memory)
        if not self._runs_on_products:
            result = self._rule_of_sums.step(state, _Completed(sums, frozen), updates, weighing, inner)
            return replace(result, memory=_wrap(result.memory, frozen))
        pairs = factor_pairs(state)
        result = self._rule_of_sums.step(to_products(state, pairs, self.scaling), sums, updates, weighing, inner)
        factors = self._next_factors(state, pairs, sums.average)
        after = from_products(result.state, factors, pairs, self.scaling)
        return replace(result, state={name: after[name] for name in state}, memory=_wrap(result.memory, frozen))

    def to_sum(self, state: State) -> State:
        if not self._runs_on_products:
            return state
        pairs = factor_pairs(state)
        factors = {} if self.mode == "restart" else {name: state[name] for pair in pairs for name in (pair.a, pair.b)}
        return to_products(state, pairs, self.scaling) | factors

    def on_sums(self) -> Self:
        return replace(self, rule=on_sums(self.rule))

    @property
    def _rule_of_sums(self) -> SumRule:
        if not isinstance(self.rule, SumRule):
            raise TypeError(f"rule {self.rule.name} needs to see each update")
        return self.rule

    def _next_factors(self, state: State, pairs: Sequence[FactorPair], average: Callable[[State], State]) -> State:
        factors = {name: state[name] for pair in pairs for name in (pair.a, pair.b)}
        if self.mode == "restart":
            return factors | {pair.b: torch.zeros_like(state[pair.b]) for pair in pairs}
        return average(factors)

    def _aggregate_products(
        self, state: State, updates: Sequence[Update], memory: Memory, pairs: Sequence[FactorPair]
    ) -> Aggregate:
        in_products = [_with_state(update, lambda sent: to_products(sent, pairs, self.scaling)) for update in updates]
        result = self.rule.aggregate(to_products(state, pairs, self.scaling), in_products, memory)

        def average(factors: State) -> State:
            sent_factors = [
                _with_state(update, lambda sent: {name: sent[name] for name in factors}) for update in updates
            ]
            return weighted_average(factors, sent_factors, result.weights or example_counts(updates))

        factors = self._next_factors(state, pairs, average)
        after = from_products(result.state, factors, pairs, self.scaling)
        return replace(result, state={name: after[name] for name in state})

    def _complete(self, update: Update, state: State, memory: Memory) -> Update:
        """Add the frozen names to an update, with the values that were sent to the site."""
        expected = self.site_step(memory, update.site).expected_parts(state)[STATE]

        def complete(received: State) -> State:
            if fault := find_fault(expected, received):
                raise ValueError(f"site {update.site}: {fault}")
            return received | {name: state[name] for name in _frozen(memory)}

        return _with_state(update, complete)


@dataclass(frozen=True)
class _Completed(Sums):
    """Sums without the frozen names, whose mean is what went down."""

    sums: Sums
    frozen: Sequence[str]

    def mean(self, expected: State) -> State:
        means = self.sums.mean({name: tensor for name, tensor in expected.items() if name not in self.frozen})
        return {name: means[name] if name in means else tensor.double() for name, tensor in expected.items()}

    def total(self, part: str, expected: State) -> State:
        return self.sums.total(part, expected)


def _with_state(update: Update, change: Callable[[State], State]) -> Update:
    """Return an update whose state is passed through `change` whenever it is loaded."""

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
