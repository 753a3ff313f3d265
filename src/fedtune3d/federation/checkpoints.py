"""What the round loop saves, so that a killed run goes on to the same bits."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedtune3d.aggregation.contract import Memory
from fedtune3d.files import append_json_line, read_json_lines, write_text
from fedtune3d.states import State, load_info, load_state, save_state


@dataclass(frozen=True)
class Standing:
    """Where a run stands after a round.

    Attributes:
        round: The last round whose state is the global state; 0 before the first.
        state: The global state.
        memory: The rule's memory.
        versions: Per site, the last round whose update was accepted.
        best: `state_round`, `mean_auc`, `pooled_loss` and the sites' memory `versions` of the state that is
            best by validation so far; empty before there is one.
        finished: Whether the last state was scored, too.
    """

    round: int
    state: State
    memory: Memory = field(default_factory=Memory)
    versions: dict[str, int] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    finished: bool = False


class RoundsFolder:
    """`rounds.jsonl`, `checkpoints/` and the spool of a run of the round loop.

    `checkpoints/last.safetensors` is the point of no return of a round: it is replaced last, in one rename, after the
    rule's memory and the ledger's line were written. It holds nothing that differs between equal runs, such as times.
    """

    def __init__(self, folder: Path) -> None:
        self.ledger = folder / "rounds.jsonl"
        self.checkpoints = folder / "checkpoints"
        self.spool = folder / "spool"
        self.last = self.checkpoints / "last.safetensors"
        self.best = self.checkpoints / "best.safetensors"

    def load(self) -> Standing | None:
        """The last committed standing, or None when no round was begun. Drops ledger lines that were not committed."""
        if not self.last.exists():
            return None
        info = load_info(self.last)
        memory_path = self._memory_path(info["round"])
        memory = Memory(load_info(memory_path), load_state(memory_path))
        standing = Standing(state=load_state(self.last), memory=memory, **info)
        self._drop_uncommitted_lines(standing)
        return standing

    def commit(self, standing: Standing, line: dict[str, Any] | None = None) -> None:
        """Make `standing` the one that `load` gives, with its line in the ledger."""
        save_state(self._memory_path(standing.round), standing.memory.tensors, dict(standing.memory.values))
        if line is not None:
            append_json_line(self.ledger, line)
        info = {
            "round": standing.round,
            "versions": dict(sorted(standing.versions.items())),
            "best": standing.best,
            "finished": standing.finished,
        }
        save_state(self.last, standing.state, info)
        for path in self.checkpoints.glob("rule-*.safetensors"):
            if path != self._memory_path(standing.round):
                path.unlink()

    def save_best(self, standing: Standing, scores: dict[str, Any]) -> Standing:
        """Keep the state of `standing` as the best so far."""
        save_state(self.best, standing.state, scores)
        return replace(standing, best=scores)

    def lines(self) -> list[dict[str, Any]]:
        """The ledger, one dict a line; a half-written last line is left out."""
        return read_json_lines(self.ledger)

    def _drop_uncommitted_lines(self, standing: Standing) -> None:
        kept = [
            line
            for line in self.lines()
            if line["round"] <= standing.round and (line["kind"] == "train" or standing.finished)
        ]
        write_text(self.ledger, "".join(json.dumps(line, allow_nan=False) + "\n" for line in kept))

    def _memory_path(self, round_: int) -> Path:
        return self.checkpoints / f"rule-{round_:05d}.safetensors"
