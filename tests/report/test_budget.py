import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_editing import change_ledger
from run_editing import change_config

from fedtune3d._utils.folders import RunFolder
from fedtune3d.federation.ledger import LedgerLine, read_ledger
from fedtune3d.report.against import budget_note
from fedtune3d.report.budget import Budget, budgets_of, differing, labelled
from fedtune3d.report.figures.auc_per_site import draw_auc_per_site
from fedtune3d.report.number_formatting import plural
from fedtune3d.report.run_contents import read_run


def test_budgets_of_a_run_are_those_of_its_ledgers(small_run: RunFolder) -> None:
    """Two rounds in batches of four: a pass makes as many steps as batches."""
    lines = read_ledger(small_run.rounds.ledger)
    scans = {site: lines[0].sites[site].examples for site in "AB"}
    steps = 2 * sum(math.ceil(count / 4) for count in scans.values())
    found = budgets_of(read_run(small_run.path))
    assert found["federated"] == found["local"] == Budget(2, sum(scans.values()), steps)
    assert found["centralized"] == Budget(2, sum(scans.values()), 2 * math.ceil(sum(scans.values()) / 4))


def test_the_note_and_the_figure_say_what_differs(small_run: RunFolder) -> None:
    contents = read_run(small_run.path)
    assert contents.metrics is not None
    budgets = budgets_of(contents)
    assert f"federated {budgets['federated']}; local {budgets['local']}" in budget_note(contents)
    budgets["centralized"] = replace(budgets["centralized"], steps=1)
    drawing = draw_auc_per_site(contents.metrics, budgets)
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    for method in ("federated", "local", "centralized"):
        assert f"{method}, {plural(budgets[method].steps, 'step')}" in legend


def test_equal_budgets_need_no_label(small_run: RunFolder) -> None:
    contents = read_run(small_run.path)
    assert contents.metrics is not None
    legend = draw_auc_per_site(contents.metrics).figure.legends[0]
    assert {"federated", "local", "centralized"} <= {text.get_text() for text in legend.get_texts()}


def test_only_what_differs_is_named() -> None:
    text = differing({"a": [Budget(10, 40, 80)], "b": [Budget(3, 40, 24)], "unknown": []})
    assert text == {"a": "10 rounds, 80 steps", "b": "3 rounds, 24 steps", "unknown": ""}
    assert set(differing({"a": [Budget(10, 40, 80)], "b": [Budget(10, 40, 80)]}).values()) == {""}
    assert differing({"a": [Budget(1, 40, None)], "b": [Budget(2, 40, 4)]}) == {"a": "1 round", "b": "2 rounds"}
    seeds = differing({"a": [Budget(1, 38, 5), Budget(1, 41, 5)], "b": [Budget(1, 38, 5), Budget(1, 38, 5)]})
    assert seeds == {"a": "38–41 training scans", "b": "38 training scans"}
    assert labelled("CONV S", "3 rounds") == "CONV S, 3 rounds"
    assert labelled("CONV S", "") == "CONV S"


def without_counts(line: LedgerLine) -> LedgerLine:
    return replace(line, sites={site: replace(entry, examples=None) for site, entry in line.sites.items()})


def test_what_sites_hold_back_is_not_counted(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    assert budgets_of(read_run(folder)).keys() == {"federated"}  # no ledger of a baseline is there
    change_ledger(folder, lambda lines: [without_counts(line) for line in lines])
    assert budgets_of(read_run(folder))["federated"] == Budget(10, None, None)
    assert str(Budget(10, None, None)) == "10 rounds"


@pytest.mark.parametrize(
    ("change", "steps"),
    [({"privacy": {"epsilon": 3}}, None), ({"model": {"head": "ncc"}}, 0), ({"training": {"rounds": "x"}}, None)],
)
def test_steps_are_counted_only_where_they_follow_from_scans(
    make_run: Callable[..., Path], change: dict, steps: int | None
) -> None:
    folder = make_run()
    change_config(folder, lambda config: config.update(change))
    assert budgets_of(read_run(folder))["federated"].steps == steps
