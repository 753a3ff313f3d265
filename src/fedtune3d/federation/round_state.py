"""What the round loop saves, so that a killed run goes on to the same bits."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedtune3d._utils.folders import RoundsPaths
from fedtune3d._utils.ledgers import append_line, keep_first, read_lines
from fedtune3d._utils.state_dicts import State, load_info, load_state, save_state
from fedtune3d.aggregation.contract import Memory


@dataclass(frozen=True)
class RoundState:
    """Where a run stands after a round.

    Attributes:
        round: The last round whose state is the global state; 0 before the first.
        state: The global state.
        memory: The rule's memory.
        versions: Per site, the last round whose update was accepted.
        best: `state_round`, `mean_auc`, `pooled_loss` and the sites' memory `versions` of the state that is
            best by validation so far; empty before there is one.
        finished: Whether the last state was scored, too.
        ledger_lines: Lines of the ledger up to this round; more were not committed, fewer mean damage.
    """

    round: int
    state: State
    memory: Memory = field(default_factory=Memory)
    versions: dict[str, int] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    ledger_lines: int = 0


class RoundsFolder:
    """`rounds.jsonl`, `checkpoints/` and the spool of a run of the round loop.

    `checkpoints/last.safetensors` is the point of no return of a round: it is replaced last, in one rename, after the
    rule's memory and the ledger's line were written. It holds nothing that differs between equal runs, such as times.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = RoundsPaths(folder)
        self.ledger, self.spool = self.paths.ledger, self.paths.spool
        self.last, self.best = self.paths.last, self.paths.best

    def load(self) -> RoundState | None:
        """Load the last committed round, or None before the first; ledger lines that were not committed are dropped."""
        if not self.last.exists():
            return None
        info = load_info(self.last)
        memory_path = self.paths.rule_memory(info["round"])
        memory = Memory(load_info(memory_path), load_state(memory_path))
        round_state = RoundState(state=load_state(self.last), memory=memory, **info)
        keep_first(self.ledger, round_state.ledger_lines)
        return round_state

    def commit(self, round_state: RoundState, line: dict[str, Any] | None = None) -> RoundState:
        """Make `round_state` the one that `load` gives, with its line in the ledger, and return it as it is then."""
        save_state(
            self.paths.rule_memory(round_state.round), round_state.memory.tensors, dict(round_state.memory.values)
        )
        if line is not None:
            round_state = replace(round_state, ledger_lines=append_line(self.ledger, line).lines)
        info = {
            "round": round_state.round,
            "versions": dict(sorted(round_state.versions.items())),
            "best": round_state.best,
            "finished": round_state.finished,
            "ledger_lines": round_state.ledger_lines,
        }
        save_state(self.last, round_state.state, info)
        for path in self.paths.rule_memories():
            if path != self.paths.rule_memory(round_state.round):
                path.unlink()
        return round_state

    def reopen(self, round_state: RoundState) -> RoundState:
        """Make a finished run one that can go on, without the ledger's line about its last state.

        The next round scores that state again, so that the run ends as if it had never stopped.
        """
        reopened = self.commit(replace(round_state, finished=False, ledger_lines=round_state.ledger_lines - 1))
        keep_first(self.ledger, reopened.ledger_lines)
        return reopened

    def save_best(self, round_state: RoundState, scores: dict[str, Any]) -> RoundState:
        """Keep the state of `round_state` as the best so far."""
        save_state(self.best, round_state.state, scores)
        return replace(round_state, best=scores)

    def lines(self) -> list[dict[str, Any]]:
        """The ledger, one dict a line; a half-written last line is left out."""
        return read_lines(self.ledger)
