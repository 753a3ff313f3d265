"""The contract of an aggregation rule: a frozen dataclass of options with pure methods.

A rule never keeps state on itself. What it must remember between rounds is its `Memory`, which the round loop saves.
The order of a run: `Rule.start` once, then per round `Rule.site_step` for each site, and `Rule.aggregate`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from fedtune3d._utils.json_values import JsonLike
from fedtune3d._utils.ranges import require_valid_fields
from fedtune3d._utils.state_dicts import State
from fedtune3d._utils.typed_json import from_json
from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.aggregation.site_step import SiteStep

Value = TypeVar("Value")


@dataclass(frozen=True)
class Update:
    """An update that one site sends back in a round.

    Attributes:
        site: The site's name.
        examples: Training examples behind it, at least 1.
        load: Reads one part of the update afresh at each call (from the spool on disk): ``"state"``, the trained state,
            or another part that the rule's step sends (`SiteStep.expected_parts`).
        scores: Scores on the site's validation set by name: `RECEIVED_SCORE`, `SENT_SCORE` and those in
            `SiteStep.own_scores`. A score that is not defined at the site, or that its policy withholds, is absent.
        received_training_loss: Mean cross-entropy of the received state over the site's training examples (without
            augmentation, model in evaluation mode); None unless `SiteStep.scores_training` asks for it.
    """

    site: str
    examples: int
    load: Callable[[str], State]
    scores: Mapping[str, SiteScore] = field(default_factory=dict)
    received_training_loss: float | None = None


@dataclass(frozen=True)
class Memory:
    """A rule's memory between rounds: JSON values and named tensors. Saved and loaded without loss."""

    values: Mapping[str, JsonLike] = field(default_factory=dict)
    tensors: State = field(default_factory=dict)

    def read(self, name: str, kind: type[Value], default: Value | None = None) -> Value:
        """Read the value under `name` as a `kind`, such as ``dict[str, float]`` or a dataclass.

        Returns:
            The value; `default` where the memory has none.

        Raises:
            KeyError: Where the memory has none, and no default is given.
            ValueError: Where the value is of another kind.
        """
        if name not in self.values and default is not None:
            return default
        return from_json(kind, self.values[name])


@dataclass(frozen=True)
class RuleContext:
    """The experiment as far as a rule may know it before the first round.

    Attributes:
        sites: All sites of the experiment, taking part or not.
        parameters: Names in the state that train by gradient; the rest are buffers. Empty: all floating-point ones.
        normalisation: Names in the state that belong to normalisation layers, parameters and buffers.
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
    """The result of a round by a rule.

    Attributes:
        state: The next global state, with the names, shapes and dtypes of the one before.
        weights: The share of each site, summing to 1; None where the rule has no such thing (the median).
        memory: The rule's memory for the next round.
        signals: Per site, every number that the rule looked at to decide, for the ledger.
        round_signals: Numbers of the round as a whole, such as the averaging error of LoRA factors.
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
"""Properties of a plain weighted average; the contract suite checks those that a rule declares."""


class Rule(ABC):
    """A rule: a frozen dataclass whose fields are its options, by the same keys in the YAML.

    The types of the fields carry their ranges (`_utils/ranges.py`) and are checked whenever a rule is made.

    Class attributes:
        name: The rule's name in the YAML.
        implies: What its maths implies with the default options, of the three above.
        step_type: The class of its part at the site.
        needs_single_updates: It looks at each update alone, so it cannot be combined with secure aggregation.
        in_product_space: It may run on products of LoRA factors in place of the factors (`lora.py`, ``exact``).
    """

    name: ClassVar[str]
    implies: ClassVar[frozenset[str]] = frozenset()
    step_type: ClassVar[type[SiteStep]] = SiteStep
    needs_single_updates: ClassVar[bool] = False
    in_product_space: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raise `InputError` naming the first option of the wrong type or out of its range."""
        require_valid_fields(self, f"rule {self.name}: ")

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        """The state and the memory to begin with. Raises `InputError` where the rule does not suit the context."""
        return state, Memory()

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        """The step of `site` in the coming round, an instance of `step_type`."""
        return SiteStep()

    @abstractmethod
    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """The next global state from the current one and the accepted updates of a round, in any order."""
