"""How far a run is, from its ledgers alone, and how long the rest takes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_editing import write_ledger

from fedtune3d._utils.folders import RunFolder
from fedtune3d.report.live_progress import best_so_far, seconds_left, site_progress, stages
from fedtune3d.report.run_contents import RunContents, read_run, version_of


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    """Four of ten rounds of 12.5 s at four sites, with three baselines to come."""
    read = read_run(make_run(finished=False))
    return replace(read, config=read.config | {"baselines": ["local", "centralized", "leave_one_site_out"]})


def test_the_time_left_covers_the_whole_run(contents: RunContents) -> None:
    found = {stage.title: (stage.done, stage.total, stage.seconds_left) for stage in stages(contents)}
    assert found == {
        "Preparation": (1, 1, None),
        "Federated rounds": (4, 10, 6 * 12.5),
        "Local": (0, 40, 40 * 12.5 / 4),  # each site alone
        "Centralized": (0, 10, 10 * 12.5),
        "Leave one site out": (0, 40, 40 * 12.5 * 3 / 4),
        "Evaluation": (0, 4, 4 * 12.5),
    }
    assert seconds_left(contents) == 75 + 125 + 125 + 375 + 50
    assert seconds_left(replace(contents, ledger=[])) is None


def test_the_first_round_with_its_encoding_counts_only_while_it_is_alone(contents: RunContents) -> None:
    first, second, *_ = contents.ledger
    slow = [replace(first, seconds=600.0), replace(second, seconds=2.0)]
    assert stages(replace(contents, ledger=slow[:1]))[1].seconds_left == 9 * 600.0
    assert stages(replace(contents, ledger=slow))[1].seconds_left == 8 * 2.0


def test_a_baseline_has_its_own_pace_once_it_trains(contents: RunContents) -> None:
    before = version_of(contents.path)
    lines = [replace(line, seconds=2.0) for line in contents.ledger[:3]]
    folder = RunFolder(contents.path).local_rounds("Graz").path
    folder.mkdir(parents=True)
    write_ledger(folder, lines)
    assert version_of(contents.path) != before  # so that the page is drawn again
    local = stages(contents)[2]
    assert (local.done, local.total, local.seconds_left) == (3, 40, 37 * 2.0)


def test_each_site_says_what_it_did_last(contents: RunContents) -> None:
    rows = {row.site: row for row in site_progress(replace(contents, ledger=contents.ledger[:3]))}
    assert (rows["Boston"].rounds, rows["Boston"].seconds, rows["Boston"].state) == (
        "3 of 10",
        "3.0 s",
        "round 3: answered",
    )
    assert (rows["Graz"].rounds, rows["Graz"].state) == ("2 of 10", "round 3: took longer than its deadline of 60 s")
    received = contents.ledger[2].sites["Boston"].received
    assert received is not None
    assert rows["Boston"].score == f"{received.auc:.2f}"
    assert rows["Lagos"].score == "–"
    (waiting, *_) = site_progress(replace(contents, ledger=[]))
    assert (waiting.rounds, waiting.state) == ("0 of 10", "nothing yet")


def test_the_best_state_so_far_is_named(contents: RunContents) -> None:
    best = max((line.validation for line in contents.ledger), key=lambda validation: validation.rank)
    assert best_so_far(contents) == f"validation AUC {best.mean_auc:.2f} after round {best.state_round}"
    assert best_so_far(replace(contents, ledger=contents.ledger[:1])).endswith("before the first round")
    assert best_so_far(replace(contents, ledger=[])) == ""
    (first, *_) = contents.ledger
    without_auc = replace(first, validation=replace(first.validation, mean_auc=None, pooled_loss=0.25))
    assert best_so_far(replace(contents, ledger=[without_auc])) == "validation loss 0.250 before the first round"
    target = {"column": "age", "range": [40, 100], "unit": "years", "missing": "error"}
    number = replace(contents, ledger=[without_auc], config=contents.config | {"labels": None, "target": target})
    assert best_so_far(number) == "validation RMSE 15.00 years before the first round"
