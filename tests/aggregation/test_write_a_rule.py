"""The rule in the docs, put into the folder as the docs say, found there, held to the contract and used in a run."""

import re
from pathlib import Path

import pytest

import fedtune3d.aggregation
from fedtune3d._utils.ledgers import read_lines
from fedtune3d._utils.state_dicts import load_state
from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.lora import MODES, LoraRule
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SiteScore
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.site.memory import SiteMemory
from fedtune3d.testing import check_rule
from fedtune3d.workflows.run import run_experiment

PAGE = Path(__file__).parents[2] / "docs" / "write-a-rule.md"


@pytest.fixture(autouse=True)
def folder_with_the_example(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "catch_up_avg.py").write_text(blocks[0], encoding="utf-8")
    monkeypatch.setattr(fedtune3d.aggregation, "__path__", [*fedtune3d.aggregation.__path__, str(folder)])


def test_the_example_is_a_rule():
    rule = build_rule("catch_up_avg", {"temperature": 0.2})
    check_rule(rule)
    for mode in MODES:
        check_rule(LoraRule(rule, mode, scaling=2.0))


def test_the_example_does_what_it_says(state_of, make_update):
    lost = {RECEIVED_SCORE: SiteScore(0.5, "auc", 10), "own_score": SiteScore(0.6, "auc", 10)}
    updates = [make_update("A", {"w": [0.0]}, 30, lost), make_update("B", {"w": [1.0]}, 10)]
    result = build_rule("catch_up_avg", {"temperature": 0.1}).aggregate(state_of({"w": [0.0]}), updates, Memory())
    e = 2.718281828459045
    assert result.weights == pytest.approx({"A": 3 * e / (3 * e + 1), "B": 1 / (3 * e + 1)})
    assert result.signals["B"] == {"loss_by_aggregation": 0.0}


@pytest.mark.ci
def test_a_whole_run_by_the_example(small_experiment, tmp_path):
    path = small_experiment.write(tmp_path / "run", aggregation={"rule": "catch_up_avg"})
    folder = run_experiment(Experiment.from_yaml(path), report=False)
    rounds = [line for line in read_lines(folder.rounds.ledger) if line["kind"] == "train"]
    assert [set(line["sites"]) for line in rounds] == [{"A", "B"}, {"A", "B"}]
    signals = [entry["signals"] for line in rounds for entry in line["sites"].values()]
    assert all(own.keys() == {"loss_by_aggregation"} for own in signals)
    for site in "AB":
        kept = SiteMemory(folder.site(site).memory()).load(2)["own_state"]
        assert kept.keys() == load_state(folder.best_checkpoint).keys()


def test_the_page_stays_short():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) < 90
