from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d.federation.ledger import SecureSum
from fedtune3d.report.run_contents import RunContents, read_run
from fedtune3d.report.what_left import what_left, what_left_short


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run(pictures=("Graz",)))


def test_what_left_follows_from_ledger_and_policies(contents: RunContents) -> None:
    assert what_left_short(contents) == (
        "each site's model update in 10 rounds (564 MB both ways, all sites), counts, scores and averages, test "
        "predictions from 3 of 4 sites, example slices from 1 of 4 sites; no whole scan"
    )
    listed = what_left(contents)
    assert listed[0] == "each site's model update in 10 rounds"
    assert listed[-2:] == [
        "predictions and labels of test scans, without names: Amsterdam, Graz, Lagos",
        "example slices of prepared scans: Graz",
    ]
    assert "mean saliency maps" in listed
    assert "mean saliency maps" not in what_left(replace(contents, saliency={}))


def test_secure_aggregation_and_noise_are_named(contents: RunContents) -> None:
    secure = SecureSum(1, *(tuple(contents.sites),) * 3, needed=3)
    ledger = [replace(line, secure=secure) if line.trains else line for line in contents.ledger]
    config = contents.config | {"privacy": {"epsilon": 3.0}}
    assert what_left(replace(contents, ledger=ledger))[0] == "the sum of the sites' model updates in 10 rounds"
    assert what_left(replace(contents, config=config))[0] == "each site's model update in 10 rounds, with noise"
    one_open = [contents.ledger[0], *ledger[1:]]
    assert what_left(replace(contents, ledger=one_open))[0] == "each site's model update in 10 rounds"
