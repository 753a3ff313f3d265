import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d._utils.folders import RunFolder
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


def test_statistics_of_features_are_listed_for_the_sites_that_sent_them(contents: RunContents) -> None:
    """Sites with too few scans send none."""
    run = RunFolder(contents.path)
    shutil.rmtree(run.feature_statistics_folder, ignore_errors=True)
    assert not [what for what in what_left(contents) if "covariance" in what]
    run.feature_statistics_folder.mkdir()
    run.feature_statistics("Graz").touch()
    assert "mean and covariance of the features of the training scans: Graz" in what_left(contents)
    for site in contents.sites:
        run.feature_statistics(site).touch()
    assert "mean and covariance of the features of the training scans" in what_left(contents)


def test_on_one_machine_nothing_crossed_a_network_and_that_is_said(contents: RunContents) -> None:
    assert not contents.on_one_machine
    for site in contents.sites:
        RunFolder(contents.path).site(site).path.mkdir(parents=True, exist_ok=True)
    assert what_left_short(contents).endswith(
        "; no whole scan. All sites were on this machine: across hospitals, this would have left"
    )


def test_secure_aggregation_and_noise_are_named(contents: RunContents) -> None:
    secure = SecureSum(1, *(tuple(contents.sites),) * 3, needed=3)
    ledger = [replace(line, secure=secure) if line.trains else line for line in contents.ledger]
    config = contents.config | {"privacy": {"epsilon": 3.0}}
    assert what_left(replace(contents, ledger=ledger))[0] == "the sum of the sites' model updates in 10 rounds"
    assert what_left(replace(contents, config=config))[0] == "each site's model update in 10 rounds, with noise"
    one_open = [contents.ledger[0], *ledger[1:]]
    assert what_left(replace(contents, ledger=one_open))[0] == "each site's model update in 10 rounds"
