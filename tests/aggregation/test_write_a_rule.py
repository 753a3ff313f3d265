"""The rule in the docs, put into the folder as the docs say, found there and held to the contract."""

import re
from pathlib import Path

import pytest

import fedtune3d.aggregation
from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.lora import MODES, LoraRule
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.testing import check_rule

PAGE = Path(__file__).parents[2] / "docs" / "write-a-rule.md"


@pytest.fixture
def folder_with_the_example(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    (tmp_path / "capped_avg.py").write_text(blocks[0], encoding="utf-8")
    monkeypatch.setattr(fedtune3d.aggregation, "__path__", [*fedtune3d.aggregation.__path__, str(tmp_path)])


@pytest.mark.usefixtures("folder_with_the_example")
def test_the_example_is_a_rule():
    rule = build_rule("capped_avg", {"cap": 20})
    check_rule(rule)
    for mode in MODES:
        check_rule(LoraRule(rule, mode, scaling=2.0))


@pytest.mark.usefixtures("folder_with_the_example")
def test_the_example_does_what_it_says(state_of, make_update):
    updates = [make_update("A", {"w": [0.0]}, examples=10), make_update("B", {"w": [1.0]}, examples=90)]
    result = build_rule("capped_avg", {"cap": 30}).aggregate(state_of({"w": [0.0]}), updates, Memory())
    assert result.weights == {"A": 0.25, "B": 0.75}
    assert result.signals["B"] == {"uncapped": 0.9}


def test_the_page_stays_short():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) < 40
