"""What the report says of differential privacy: nothing without, and with it what was spent and what lies outside."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledger_editing import change_ledger

from fedtune3d._utils.folders import RunFolder
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.federation.privacy.differential_privacy.spending import Spent
from fedtune3d.report.page import write_report
from fedtune3d.report.privacy import privacy_notes, privacy_rows
from fedtune3d.report.run_contents import RunContents, read_run

PRIVACY = {"epsilon": 3.0, "delta": 1e-3, "clip": 1.0, "unit": "person", "sampling": "poisson"}


def with_spending(lines: list[LedgerLine]) -> list[LedgerLine]:
    """Boston spends a tenth of ε in each round, by samples of 8%."""

    def spent(line: LedgerLine) -> dict[str, Any]:
        boston = replace(line.sites["Boston"], spent=Spent(0.3 * line.round, 1.546, 0.08), loss=None)
        return line.sites | {"Boston": boston}

    return [replace(line, sites=spent(line)) if line.trains else line for line in lines]


@pytest.fixture
def folder(make_run: Callable[..., Path]) -> Path:
    made = make_run()
    change_ledger(made, with_spending)
    return made


@pytest.fixture
def contents(folder: Path) -> RunContents:
    read = read_run(folder)
    return replace(read, config=read.config | {"privacy": PRIVACY})


def test_the_last_round_says_what_a_site_has_spent(contents: RunContents) -> None:
    assert privacy_rows(contents) == [
        {"site": "Boston", "rounds": "10", "noise": "1.55", "sampling": "8%", "epsilon": "3"}
    ]


def test_the_notes_name_what_lies_outside_and_how_the_price_is_found(contents: RunContents) -> None:
    run = RunFolder(contents.path)
    run.feature_statistics_folder.mkdir(exist_ok=True)
    run.feature_statistics("Graz").touch()
    promise, outside, price = privacy_notes(contents)
    assert "clipped to a norm of 1" in promise
    assert "δ = 0.001" in promise
    for number in ("validation scores", "intensity profiles", "features of the training scans", "test scans"):
        assert number in outside
    assert "run the same file without privacy.epsilon" in price


@pytest.mark.ci
@pytest.mark.usefixtures("_unrendered")
def test_without_privacy_the_report_says_nothing_of_it(make_run: Callable[..., Path]) -> None:
    plain = make_run()
    contents = read_run(plain)
    assert privacy_rows(contents) == privacy_notes(contents) == []
    assert "Differential privacy" not in write_report(plain).read_text()
