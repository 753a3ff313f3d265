"""What every aggregation rule is: a frozen dataclass of options with pure methods.

A rule never keeps state on itself. What it must remember between rounds is its `Memory`, which the round loop saves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from fedtune3d.states import State


@dataclass(frozen=True)
class Update:
    """What one site sends back in a round.

    Attributes:
        site: The site's name.
        examples: Training examples behind it, at least 1.
        load: Reads one part of the update afresh at each call (from the spool on disk): ``"state"``, the trained state,
            or another part that the rule's local plan asked for.
        metrics: The scores that the local plan asked for, by name.
    """

    site: str
    examples: int
    load: Callable[[str], State]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """What a rule remembers between rounds: JSON values and named tensors. Saved and loaded without loss."""

    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: State = field(default_factory=dict)


@dataclass(frozen=True)
class LocalPlan:
    """What a rule wants done at a site, as data; ``training/`` carries it out.

    Attributes:
        proximal_mu: Weight μ of the proximal term μ/2 ‖w − w_received‖² in the local loss; 0 for none.
        keep_local: Names in the state that never leave the site.
        scores: Validation scores wanted, of ``"received"``, ``"sent"`` and ``"leave_one_out"``.
        values: Further numbers for the site, by name (such as FedCE's weight of the site).
        tensors: Further tensors for the site, by part and name (such as SCAFFOLD's server control variate).
    """

    proximal_mu: float = 0.0
    keep_local: tuple[str, ...] = ()
    scores: tuple[str, ...] = ("received", "sent")
    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, State] = field(default_factory=dict)


@dataclass(frozen=True)
class Aggregate:
    """What a rule makes of a round.

    Attributes:
        state: The next global state, with the names, shapes and dtypes of the one before.
        weights: The share of each site, summing to 1; None where the rule has no such thing (the median).
        memory: The rule's memory for the next round.
        signals: Per site, every number that the rule looked at to decide, for the ledger.
    """

    state: State
    weights: dict[str, float] | None
    memory: Memory
    signals: dict[str, dict[str, float]] = field(default_factory=dict)


class Rule(Protocol):
    """A rule: options as dataclass fields (they are its keys in the YAML), pure methods."""

    name: ClassVar[str]

    def local_plan(self, memory: Memory, site: str) -> LocalPlan:
        """What the rule wants done at `site` in the coming round."""
        ...

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """The next global state from the current one and the accepted updates of a round, in any order."""
        ...
