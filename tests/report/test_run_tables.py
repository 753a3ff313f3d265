from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_editing import change_ledger

from fedtune3d._utils.folders import RunFolder
from fedtune3d.report import run_tables
from fedtune3d.report.number_formatting import size
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def test_costs_are_added_up_from_the_ledger(contents: RunContents) -> None:
    rows = {row["site"]: row for row in run_tables.cost_rows(contents)}
    # Ten rounds down and up and the last scoring down; Graz sent nothing in round 3.
    assert rows["Boston"]["total"] == "143 MB"  # 21 × 6.8
    assert rows["Graz"]["total"] == "136 MB"  # 20 × 6.8
    assert (rows["Boston"]["rounds"], rows["Graz"]["rounds"]) == ("10", "9")
    assert (rows["Graz"]["up"], rows["Graz"]["seconds"], rows["Graz"]["memory"]) == ("6.8 MB", "3.0 s", "910 MB")


def test_costs_of_a_run_are_those_of_its_ledger(small_run: RunFolder) -> None:
    contents = read_run(small_run.path)
    rows = {row["site"]: row for row in run_tables.cost_rows(contents)}
    assert list(rows) == ["A", "B"]
    for site, row in rows.items():
        entries = [line.sites[site] for line in contents.ledger]
        assert row["total"] == size(sum(entry.bytes_both_ways for entry in entries))
        assert row["rounds"] == "2"


def test_bad_scans_are_named_only_where_predictions_leave(contents: RunContents) -> None:
    assert [bad["site"] for bad in run_tables.bad_scans(contents)] == ["Amsterdam"]


def test_values_that_could_not_be_read_are_counted_as_far_as_the_policy_allows(contents: RunContents) -> None:
    assert [(row["site"], row["what"], row["count"]) for row in run_tables.warning_rows(contents)] == [
        ("Boston", "values of age treated as missing", "30"),
        ("Boston", "values of acq_time treated as missing", "2"),
    ]
    strict = {"sites": [{"name": "Boston", "policy": {"min_people": 3}}]}
    assert [row["count"] for row in run_tables.warning_rows(replace(contents, config=strict))] == ["30", "held back"]


def test_faults_of_earlier_tries_are_listed_too(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    faults = ({"Lagos": "connection lost"},)
    change_ledger(folder, lambda lines: [replace(lines[0], faults_before=faults), *lines[1:]])
    assert run_tables.left_out_rows(read_run(folder)) == [
        {"round": 1, "site": "Lagos", "why": "connection lost"},
        {"round": 3, "site": "Graz", "why": "took longer than its deadline of 60 s"},
    ]


def test_local_models_show_their_own_thresholds(contents: RunContents) -> None:
    assert contents.metrics is not None
    federated, local = (contents.metrics.methods[name].parts for name in ("federated", "local"))
    assert len({test.threshold for test in federated.values()}) == 1
    assert len({test.threshold for test in local.values()}) > 1
    assert list(local) == contents.sites  # nothing pooled
    assert list(federated) == [*contents.sites, "Pooled"]


def test_a_round_says_who_was_in_it_and_what_came_of_it(make_run: Callable[..., Path]) -> None:
    contents = read_run(make_run(finished=False))
    rows = run_tables.round_rows(contents)
    assert [(row["round"], row["updates"], row["faults"]) for row in rows] == [
        (1, "4 of 4", "–"),
        (2, "4 of 4", "–"),
        (3, "3 of 4", "Graz"),
        (4, "4 of 4", "–"),
    ]
    for row, after in zip(rows, contents.ledger[1:], strict=False):
        received = [entry.received.auc for entry in after.sites.values()]
        known = [auc for auc in received if auc is not None]
        assert row["validated"] == pytest.approx(sum(known) / len(known))
    assert rows[-1]["validated"] is None  # the next round scores it
    assert {(row["seconds"], row["time"]) for row in rows} == {(12.5, "12.5 s")}
