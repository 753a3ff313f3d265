"""The state of a run between rounds, saved so that a killed run continues to the same bits."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.folders import RoundsPaths
from fedtune3d._utils.ledgers import keep_first
from fedtune3d._utils.state_dicts import State, load_info, load_state, save_state
from fedtune3d._utils.typed_json import T, from_json, to_json
from fedtune3d.aggregation.contract import Memory
from fedtune3d.federation.ledger import LedgerLine, Validation, append_ledger_line, read_ledger

_ADVICE = "it may be from another version of fedtune3d; run again into a new folder"


@dataclass(frozen=True)
class BestState:
    """The best global state by validation so far.

    Attributes:
        validation: Its validation, with the round that it comes from.
        versions: Site → the version of the site's memory that belongs to it.
    """

    validation: Validation
    versions: dict[str, int]

    @property
    def round(self) -> int:
        """The round after which it was the global state."""
        return self.validation.state_round


@dataclass(frozen=True)
class RoundState:
    """Where a run stands after a round.

    Attributes:
        round: The last round whose state is the global state; 0 before the first.
        state: The global state.
        memory: The rule's memory.
        versions: Per site, the last round whose update was accepted.
        best: The best state by validation so far; None before there is one.
        finished: Whether the last state was scored, too.
        ledger_lines: Lines of the ledger up to this round; more were not committed, fewer mean damage.
    """

    round: int
    state: State
    memory: Memory = field(default_factory=Memory)
    versions: dict[str, int] = field(default_factory=dict)
    best: BestState | None = None
    finished: bool = False
    ledger_lines: int = 0


@dataclass(frozen=True)
class _CheckpointInfo:
    """All of a `RoundState` but its tensors and the rule's memory, as the checkpoint holds it."""

    round: int
    versions: dict[str, int]
    best: BestState | None
    finished: bool
    ledger_lines: int


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
        """Load the last committed round, or None before the first; ledger lines that were not committed are dropped.

        Raises:
            DamagedFileError: If a file is not what was written.
        """
        if not self.last.exists():
            return None
        info = _typed_info(_CheckpointInfo, self.last)
        memory_path = self.paths.rule_memory(info.round)
        memory = Memory(load_info(memory_path), load_state(memory_path))
        keep_first(self.ledger, info.ledger_lines)
        return RoundState(
            round=info.round,
            state=load_state(self.last),
            memory=memory,
            versions=info.versions,
            best=info.best,
            finished=info.finished,
            ledger_lines=info.ledger_lines,
        )

    def commit(self, round_state: RoundState, line: LedgerLine | None = None) -> RoundState:
        """Make `round_state` the one that `load` gives, with its line in the ledger, and return it as it is then."""
        save_state(
            self.paths.rule_memory(round_state.round), round_state.memory.tensors, dict(round_state.memory.values)
        )
        if line is not None:
            round_state = replace(round_state, ledger_lines=append_ledger_line(self.ledger, line))
        info = _CheckpointInfo(
            round=round_state.round,
            versions=dict(sorted(round_state.versions.items())),
            best=round_state.best,
            finished=round_state.finished,
            ledger_lines=round_state.ledger_lines,
        )
        save_state(self.last, round_state.state, to_json(info))
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

    def save_best(self, round_state: RoundState, validation: Validation) -> RoundState:
        """Keep the state of `round_state`, whose validation is given, as the best so far."""
        best = BestState(validation, dict(sorted(round_state.versions.items())))
        save_state(self.best, round_state.state, to_json(best))
        return replace(round_state, best=best)

    def lines(self) -> list[LedgerLine]:
        """Read the ledger; raises as `read_ledger`."""
        return read_ledger(self.ledger)


def read_best_state(path: Path) -> BestState:
    """Read from which round the best checkpoint comes, and with which validation.

    Raises:
        InputError: If there is no such file.
        DamagedFileError: If it is not what was written.
    """
    return _typed_info(BestState, path)


def _typed_info(kind: type[T], path: Path) -> T:
    info = load_info(path)
    try:
        return from_json(kind, info)
    except ValueError as error:
        raise DamagedFileError(path, f"has unexpected values ({error})", _ADVICE) from error
