from collections.abc import Callable
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.run_config import write_run_config
from fedtune3d.federation.round_state import RoundsFolder, RoundState
from fedtune3d.report.run_contents import read_run


def test_reads_what_is_there(make_run: Callable[..., Path]) -> None:
    contents = read_run(make_run(pictures=("Graz", "Lagos")))
    assert contents.sites == ["Amsterdam", "Boston", "Graz", "Lagos"]
    assert len(contents.ledger) == 11
    assert sorted(contents.flows) == ["Amsterdam", "Boston", "Graz"]
    assert {site: len(paths) for site, paths in contents.examples.items()} == {"Graz": 4, "Lagos": 0}


def test_reads_what_a_run_wrote(small_run: RunFolder) -> None:
    contents = read_run(small_run.path)
    assert contents.sites == sorted(contents.flows) == ["A", "B"]
    assert [line.kind for line in contents.ledger] == ["train", "train", "score"]
    assert {site: len(paths) for site, paths in contents.examples.items()} == {"A": 3, "B": 3}
    assert contents.metrics is not None
    assert contents.audit is not None
    assert contents.profiles is not None


def test_a_line_that_is_being_written_is_left_out(make_run: Callable[..., Path]) -> None:
    folder = make_run(finished=False)
    with (folder / "rounds.jsonl").open("a") as file:
        file.write('{"round": 5, "ki')
    assert [line.round for line in read_run(folder).ledger] == [1, 2, 3, 4]


def test_without_a_policy_nothing_is_allowed(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    write_run_config(RunFolder(folder).config, {"name": "demo", "sites": [{"name": "Graz"}]})
    assert read_run(folder).examples == {}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", "- a list", r"config.yaml: expected keys and values at the top level, got list"),
        (
            "metrics.json",
            "{",
            r"metrics.json: the file has lost its checksum, .*; run again with --resume",
        ),
        ("rounds.jsonl", "{}\nnonsense\n{}\n", r"rounds.jsonl: the file is damaged in line 1"),
    ],
)
def test_damage_is_named(make_run: Callable[..., Path], name: str, content: str, message: str) -> None:
    folder = make_run()
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_run(folder)


@pytest.mark.parametrize("at_a_line_end", [True, False])
def test_a_finished_run_whose_ledger_was_cut_is_refused(make_run: Callable[..., Path], at_a_line_end: bool) -> None:
    folder = make_run()
    rounds = RoundsFolder(folder)
    lines = rounds.lines()
    rounds.commit(RoundState(round=10, state={}, finished=True, ledger_lines=len(lines)))
    content = rounds.ledger.read_bytes()
    rounds.ledger.write_bytes(content[: content[:-1].rfind(b"\n") + (1 if at_a_line_end else 9)])
    with pytest.raises(InputError, match=rf"rounds\.jsonl: .* expected {len(lines)} or more, found {len(lines) - 1}"):
        read_run(folder)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.yaml: no such file; .* is not a run folder"):
        read_run(tmp_path)
