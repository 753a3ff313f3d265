"""The state of a run between rounds, saved so that a killed run resumes to bit-identical results."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.folders import RoundsPaths
from fedtune3d._utils.ledgers import keep_first, require_length
from fedtune3d._utils.state_dicts import State, load_info, load_state, save_state
from fedtune3d._utils.typed_json import T, from_json, to_json
from fedtune3d.aggregation.contract import Memory
from fedtune3d.federation.ledger import LedgerLine, Validation, append_ledger_line, read_ledger

_ADVICE = "it may be from another version of fedtune3d; run again into a new folder"


@dataclass(frozen=True)
class BestState:
    """The best global state by validation so far.

    Attributes:
        validation: Its validation, which includes its round.
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
    """The state of a run after a round.

    Attributes:
        round: The last completed round; 0 before the first.
        state: The global state.
        memory: The rule's memory.
        versions: Site → the round of its last accepted update.
        best: The best state by validation so far, if any.
        finished: Whether the last state has been scored.
        ledger_lines: Lines of the ledger up to this round; further lines were not committed, fewer mean damage.
        validations: Validation in each of these lines, in their order.
    """

    round: int
    state: State
    memory: Memory = field(default_factory=Memory)
    versions: dict[str, int] = field(default_factory=dict)
    best: BestState | None = None
    finished: bool = False
    ledger_lines: int = 0
    validations: tuple[Validation, ...] = ()


@dataclass(frozen=True)
class _CheckpointInfo:
    """A `RoundState` without its tensors and the rule's memory, as stored in the checkpoint's metadata."""

    round: int
    versions: dict[str, int]
    best: BestState | None
    finished: bool
    ledger_lines: int


class RoundsFolder:
    """The files of the round loop: `rounds.jsonl`, `checkpoints/` and the spool.

    A round is committed by replacing `checkpoints/last.safetensors` in one rename, after the rule's memory and the
    ledger line have been written. The file contains nothing that differs between equal runs, such as times.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = RoundsPaths(folder)
        self.ledger, self.spool = self.paths.ledger, self.paths.spool
        self.last, self.best = self.paths.last, self.paths.best

    def load(self) -> RoundState | None:
        """Load the last committed round and drop uncommitted ledger lines; returns None before the first commit.

        Raises:
            DamagedFileError: If a file is not what was written.
        """
        if not self.last.exists():
            if read_ledger(self.ledger):
                raise DamagedFileError(self.last, f"is missing, although {self.ledger.name} holds rounds")
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
            validations=tuple(line.validation for line in read_ledger(self.ledger)),
        )

    def commit(self, round_state: RoundState, line: LedgerLine | None = None) -> RoundState:
        """Save a round with its ledger line, so that `load` returns it; returns the state with the new line count."""
        save_state(
            self.paths.rule_memory(round_state.round), round_state.memory.tensors, dict(round_state.memory.values)
        )
        if line is not None:
            validations = (*round_state.validations, line.validation)
            lines = append_ledger_line(self.ledger, line)
            round_state = replace(round_state, ledger_lines=lines, validations=validations)
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

    def discard_updates(self) -> None:
        """Remove the updates of a round that is committed, and the record of its sum."""
        for path in (self.spool, self.paths.sum_record.parent):
            shutil.rmtree(path, ignore_errors=True)

    def reopen(self, round_state: RoundState) -> RoundState:
        """Reopen a finished run for more rounds, dropping the ledger line of its final scoring.

        The next round scores that state again, so that the result is the same as without the stop.
        """
        lines, validations = round_state.ledger_lines - 1, round_state.validations[:-1]
        reopened = self.commit(replace(round_state, finished=False, ledger_lines=lines, validations=validations))
        keep_first(self.ledger, reopened.ledger_lines)
        return reopened

    def save_best(self, round_state: RoundState, validation: Validation) -> RoundState:
        """Save the state of `round_state`, with its validation, as the best so far."""
        best = BestState(validation, dict(sorted(round_state.versions.items())))
        save_state(self.best, round_state.state, to_json(best))
        return replace(round_state, best=best)

    def lines(self) -> list[LedgerLine]:
        """Read the ledger: the committed rounds, and one that is being committed.

        Raises:
            DamagedFileError: As `read_ledger`, and if lines are lost that the checkpoint counts.
        """
        committed = self._committed_lines()
        lines = read_ledger(self.ledger)
        if len(lines) < committed:
            require_length(self.ledger, len(lines), self._committed_lines())  # `reopen` counts one less
        return lines

    def _committed_lines(self) -> int:
        """The lines that the checkpoint counts; 0 where there is none, as in a copy without checkpoints."""
        return _typed_info(_CheckpointInfo, self.last).ledger_lines if self.last.exists() else 0


def read_best_state(path: Path) -> BestState:
    """Read the round and validation of the best checkpoint.

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
