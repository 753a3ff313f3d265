"""The contract of an aggregation rule: a frozen dataclass of options with pure methods.

A rule object holds no state. What it must remember between rounds is its `Memory`, which the round loop saves.
In a run, `Rule.start` is called once, then in every round `Rule.site_step` for each site and `Rule.aggregate`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeVar

from fedtune3d._utils.json_values import JsonLike
from fedtune3d._utils.ranges import require_valid_fields
from fedtune3d._utils.state_dicts import State
from fedtune3d._utils.typed_json import from_json
from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.aggregation.site_step import SiteStep

Value = TypeVar("Value")


LoraMode = Literal["factors", "exact", "freeze_a", "restart"]
"""How a rule runs on LoRA factors; see `lora.LoraRule`."""


@dataclass(frozen=True)
class Update:
    """A site's update in a round.

    Attributes:
        site: The site's name.
        examples: Number of training examples, at least 1.
        load: Reads one part of the update, from disk or as a copy, at each call: ``"state"``, the trained state, or
            another part that the rule's step sends (`SiteStep.expected_parts`).
        scores: Scores on the site's validation set by name: `RECEIVED_SCORE`, `SENT_SCORE` and those in
            `SiteStep.own_scores`. A score that is undefined at the site, or withheld by its policy, is absent.
        received_training_loss: Mean cross-entropy of the received state over the site's training examples (without
            augmentation, model in evaluation mode); None unless `SiteStep.scores_training` asks for it.
        scalars: Other numbers that the rule's step makes at the site, by names in `SiteStep.own_scalars`.
    """

    site: str
    examples: int
    load: Callable[[str], State]
    scores: Mapping[str, SiteScore] = field(default_factory=dict)
    received_training_loss: float | None = None
    scalars: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """A rule's memory between rounds: JSON values and named tensors, saved and loaded losslessly."""

    values: Mapping[str, JsonLike] = field(default_factory=dict)
    tensors: State = field(default_factory=dict)

    def read(self, name: str, kind: type[Value], default: Value | None = None) -> Value:
        """Read the value under `name` as a `kind`, for example ``dict[str, float]`` or a dataclass.

        Returns:
            The value, or `default` if the memory has none.

        Raises:
            KeyError: If the memory has no such value and no default is given.
            ValueError: If the value is of another kind.
        """
        if name not in self.values and default is not None:
            return default
        return from_json(kind, self.values[name])


@dataclass(frozen=True)
class RuleContext:
    """Facts about the experiment that a rule may use before the first round.

    Attributes:
        sites: All sites of the experiment, whether or not they take part.
        parameters: Names in the state that are trained by gradient; the others are buffers. If empty, all
            floating-point ones.
        normalisation: Names in the state of the parameters and buffers of normalisation layers.
        optimizer: The local optimiser.
        rate_constant: Whether the learning rate is constant within a round.
    """

    sites: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    normalisation: tuple[str, ...] = ()
    optimizer: str = "adamw"
    rate_constant: bool = True


@dataclass(frozen=True)
class Aggregate:
    """The result of aggregating a round.

    Attributes:
        state: The next global state, with the same names, shapes and dtypes as the current one.
        weights: The share of each site, summing to 1; None if the rule has no weights (such as the median).
        memory: The rule's memory for the next round.
        signals: Site → all numbers on which the rule's decision is based, for the ledger.
        round_signals: Numbers for the whole round, such as the averaging error of LoRA factors.
    """

    state: State
    weights: dict[str, float] | None
    memory: Memory
    signals: dict[str, dict[str, float]] = field(default_factory=dict)
    round_signals: dict[str, float] = field(default_factory=dict)


WEIGHTS_SUM_TO_ONE = "weights_sum_to_one"
LONE_SITE_RETURNS_ITSELF = "lone_site_returns_itself"
EQUAL_UPDATES_RETURN_THEMSELVES = "equal_updates_return_themselves"
AVERAGING = frozenset({WEIGHTS_SUM_TO_ONE, LONE_SITE_RETURNS_ITSELF, EQUAL_UPDATES_RETURN_THEMSELVES})
"""Properties of a plain weighted average; the contract suite tests those that a rule declares."""


class Rule(ABC):
    """Base class of aggregation rules: frozen dataclasses whose fields are the options, with the same keys in the YAML.

    The fields' types include their ranges (`_utils/ranges.py`), which are checked when a rule is created. A rule
    that needs only sums over the updates is a `SumRule` (`sums.py`), which can also run under secure aggregation.

    Class attributes:
        name: The rule's name in the YAML.
        implies: Those of the three properties above that hold with the default options.
        step_type: The class of the rule's site step.
        without_sums: For a rule that is not a `SumRule`: what to choose instead under secure aggregation.
        in_product_space: Whether it can run on products of LoRA factors instead of the factors (`lora.py`, ``exact``).
        lora_mode: How it runs on LoRA factors unless the YAML says otherwise (`lora.py`).
        ours: What its paper leaves open and is made up here, shown wherever the rule is named; "" for nothing.
    """

    name: ClassVar[str]
    implies: ClassVar[frozenset[str]] = frozenset()
    step_type: ClassVar[type[SiteStep]] = SiteStep
    without_sums: ClassVar[str] = "choose a rule of sums, such as fedavg"
    in_product_space: ClassVar[bool] = True
    lora_mode: ClassVar[LoraMode] = "factors"
    ours: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Raise `InputError` with the first option that has the wrong type or is out of range."""
        require_valid_fields(self, f"rule {self.name}: ")

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        """Return the initial state and memory. Raises `InputError` if the rule cannot be used in the context."""
        return state, Memory()

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        """Return the step of `site` for the next round, an instance of `step_type`."""
        return SiteStep()

    @abstractmethod
    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """Compute the next global state from the current one and the accepted updates of a round, in any order."""
