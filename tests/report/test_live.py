"""The page of a run in progress: what it says the run is at, and when it is drawn."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_editing import change_ledger

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d.report.live import LivePage, status_of
from fedtune3d.report.run_contents import read_run


def keep_rounds(folder: Path, rounds: int) -> None:
    change_ledger(folder, lambda lines: lines[:rounds])


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        (11, "Running: all 10 rounds are done; evaluation, under a minute left."),
        (10, "Running: all 10 rounds are done; evaluation, under a minute left."),
        (4, "Running: round 5 of 10, about 2 min left in the rounds, about 2 min in all."),  # 6 of 12.5 s
        (0, "Running: round 1 of 10."),
    ],
)
def test_what_the_run_is_at(make_run: Callable[..., Path], rounds: int, expected: str) -> None:
    folder = make_run()
    (folder / "metrics.json").unlink()
    keep_rounds(folder, rounds)
    assert status_of(read_run(folder)) == expected


def test_before_the_rounds_and_after_the_evaluation(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    assert status_of(read_run(folder)) == "Running: writing the report."
    keep_rounds(folder, 0)
    for name in ("metrics.json", "environment.json"):
        (folder / name).unlink()
    assert status_of(read_run(folder)) == "Running: the sites prepare their scans; 10 rounds to come."


def test_a_slow_first_round_does_not_tell_what_is_left(make_run: Callable[..., Path]) -> None:
    folder = make_run(finished=False)
    change_ledger(folder, lambda lines: [replace(lines[0], seconds=9_000.0), *lines[1:]])
    assert status_of(read_run(folder)) == "Running: round 5 of 10, about 2 min left in the rounds, about 2 min in all."


@pytest.mark.usefixtures("_unrendered")
def test_it_is_drawn_again_where_the_run_has_gone_on(make_run: Callable[..., Path]) -> None:
    folder = make_run(finished=False)
    page = LivePage(folder)
    first, before = page.html(), page.status()
    assert page.html() is first
    change_ledger(folder, lambda lines: [*lines, replace(lines[-1], round=5)])
    assert page.status()["version"] != before["version"]
    assert page.status()["status"].startswith("Running: round 6 of 10")
    assert f'data-version="{page.status()["version"]}"' in page.html()
    assert page.html().count("data:image/svg+xml") == first.count("data:image/svg+xml")


@pytest.mark.usefixtures("_unrendered")
def test_it_writes_nothing_and_leaves_out_what_is_not_there_yet(make_run: Callable[..., Path]) -> None:
    folder = make_run(finished=False)
    files = sorted(folder.rglob("*"))
    page = LivePage(folder).html()
    assert sorted(folder.rglob("*")) == files
    assert "Running: round 5 of 10" in page
    for title in ("Learning curves", "Aggregation weight per site and round", "Round by round"):
        assert title in page
    for absent in ("Test AUC per site", "Calibration", "Subgroups", "figures/learning_curves.svg"):
        assert absent not in page
    assert "EventSource" in page
    assert re.search(r"Started \d\d:\d\d\. Best so far: validation AUC 0\.\d\d after round [123]\.", page)


def test_the_final_page_has_nothing_of_it(small_run: RunFolder) -> None:
    page = small_run.report.read_text()
    assert "EventSource" not in page
    assert 'id="status"' not in page


def test_it_waits_where_there_is_no_run_yet_and_says_what_is_damaged(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    waiting = LivePage(tmp_path / "none")
    assert waiting.status()["status"] == "Running: starting up."
    assert "Running: starting up." in waiting.html()
    folder = make_run(finished=False)
    (folder / "audit.json").write_text("{")
    with pytest.raises(InputError, match=r"audit\.json: the file has lost its checksum"):
        LivePage(folder).html()
