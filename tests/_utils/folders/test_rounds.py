from pathlib import Path

from fedtune3d._utils.folders.rounds import RoundsPaths


def test_memories_of_a_rule_come_oldest_first(tmp_path: Path) -> None:
    rounds = RoundsPaths(tmp_path)
    rounds.checkpoints.mkdir()
    for round_ in (10, 9):
        rounds.rule_memory(round_).touch()
    rounds.last.touch()
    assert rounds.rule_memories() == [rounds.rule_memory(9), rounds.rule_memory(10)]
