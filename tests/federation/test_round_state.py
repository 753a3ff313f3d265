"""A committed round is found again; what was not committed is dropped; what is lost is noticed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d.aggregation.contract import Memory
from fedtune3d.federation.ledger import LedgerLine, Validation, append_ledger_line
from fedtune3d.federation.round_state import RoundsFolder, RoundState

STATE = {"weight": torch.tensor([1.0, 2.0])}


def line_of(round_: int) -> LedgerLine:
    return LedgerLine(round=round_, kind="train", seconds=0.5, sites={}, validation=Validation(round_ - 1, 0.75, 0.5))


def commit_two_rounds(folder: RoundsFolder) -> RoundState:
    round_state = RoundState(round=1, state=STATE, memory=Memory({"seen": [1]}, {"m": torch.ones(2)}))
    round_state = folder.commit(round_state, line_of(1))
    return folder.commit(replace(round_state, round=2, versions={"B": 2, "A": 1}), line_of(2))


def test_a_committed_round_is_loaded_as_it_was(tmp_path: Path) -> None:
    folder = RoundsFolder(tmp_path)
    assert folder.load() is None
    committed = commit_two_rounds(folder)
    loaded = RoundsFolder(tmp_path).load()
    assert loaded is not None
    assert (loaded.round, loaded.versions, loaded.ledger_lines) == (2, {"A": 1, "B": 2}, 2)
    assert loaded.memory.values == committed.memory.values
    torch.testing.assert_close(loaded.state, STATE, rtol=0, atol=0)
    torch.testing.assert_close(loaded.memory.tensors, {"m": torch.ones(2)}, rtol=0, atol=0)


def test_only_the_memory_of_the_last_round_is_kept(tmp_path: Path) -> None:
    folder = RoundsFolder(tmp_path)
    commit_two_rounds(folder)
    assert folder.paths.rule_memories() == [folder.paths.rule_memory(2)]


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    folder = RoundsFolder(tmp_path)
    commit_two_rounds(folder)
    append_ledger_line(folder.ledger, line_of(3))  # a kill came before the checkpoint was replaced
    assert len(folder.lines()) == 3
    folder.load()
    assert [line.round for line in folder.lines()] == [1, 2]


def test_a_lost_line_is_damage(tmp_path: Path) -> None:
    folder = RoundsFolder(tmp_path)
    commit_two_rounds(folder)
    first = folder.ledger.read_bytes().split(b"\n")[0]
    folder.ledger.write_bytes(first + b"\n")
    with pytest.raises(DamagedFileError, match=r"rounds\.jsonl.*lost lines: expected 2 or more, found 1"):
        folder.load()
    with pytest.raises(DamagedFileError, match=r"rounds\.jsonl.*lost lines: expected 2 or more, found 1"):
        folder.lines()


def test_a_ledger_without_its_checkpoint_is_read_and_not_continued(tmp_path: Path) -> None:
    folder = RoundsFolder(tmp_path)
    commit_two_rounds(folder)
    folder.last.unlink()
    assert len(folder.lines()) == 2
    with pytest.raises(DamagedFileError, match=r"last\.safetensors: the file is missing"):
        folder.load()


def test_a_reopened_run_drops_its_last_line_for_readers_as_well(tmp_path: Path) -> None:
    folder = RoundsFolder(tmp_path)
    folder.reopen(commit_two_rounds(folder))
    assert [line.round for line in folder.lines()] == [1]


def test_the_best_state_is_kept_with_its_scores(tmp_path: Path) -> None:
    folder = RoundsFolder(tmp_path)
    validation = Validation(state_round=1, mean_auc=0.75, pooled_loss=0.5)
    round_state = folder.save_best(RoundState(round=1, state=STATE), validation)
    assert round_state.best is not None
    assert round_state.best.validation == validation
    assert folder.best.exists()
