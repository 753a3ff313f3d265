"""What docs/heads.md says is so."""

import re
from pathlib import Path

import pytest
import torch
from unrendered import unrendered_figures

from fedtune3d._utils.state_dicts import load_state
from fedtune3d.config.experiment import Experiment
from fedtune3d.models import heads
from fedtune3d.models.heads import build_head, head_names, head_title
from fedtune3d.testing import check_head
from fedtune3d.workflows.run import run_experiment

DOCUMENT = (Path(__file__).parents[3] / "docs" / "heads.md").read_text(encoding="utf-8")


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_table_lists_every_head_with_its_parameters():
    found = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", DOCUMENT, flags=re.MULTILINE)
    rows = {name: number(count) for name, count in found}
    assert rows == {name: sum(p.numel() for p in build_head(name, 384).parameters()) for name in head_names()}


@pytest.mark.parametrize(("name", "title"), [("conv_s", "CONV S"), ("conv_l", "CONV L")])
def test_the_drawing_is_the_layout(name, title):
    drawing = re.search(rf"^{title} .*?\n\n|^{title} .*?\n```", DOCUMENT, flags=re.MULTILINE | re.DOTALL).group()
    drawn_shapes = [tuple(map(int, shape.split(", "))) for shape in re.findall(r"\(([\d, ]+)\)", drawing)]
    *drawn_counts, total = [number(count) for count in re.findall(r" ([\d,]+)$", drawing, flags=re.MULTILINE)]
    head, x = build_head(name, 384), torch.zeros(1, 384, 8, 8, 8)
    shapes = [tuple(x.shape[1:])]
    with torch.inference_mode():
        for part in head:
            x = part(x)
            shapes.append(tuple(x.shape[1:]))
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in head]
    assert drawn_shapes == shapes
    assert drawn_counts == counts
    assert total == sum(counts)


@pytest.fixture
def folder_with_the_example(tmp_path, monkeypatch):
    example = re.search(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL).group(1)
    folder = tmp_path / "heads"
    folder.mkdir()
    (folder / "attention_pool.py").write_text(example, encoding="utf-8")
    monkeypatch.setattr(heads, "__path__", [*heads.__path__, str(folder)])


@pytest.mark.usefixtures("folder_with_the_example")
def test_the_example_is_a_head_by_being_in_the_folder():
    assert "attention_pool" in head_names()
    assert head_title("attention_pool") == "Attention pooling"
    check_head("attention_pool")


@pytest.mark.ci
@pytest.mark.usefixtures("folder_with_the_example")
def test_a_whole_run_with_the_example(small_experiment, tmp_path):
    model = small_experiment.values["model"] | {"head": "attention_pool"}
    with unrendered_figures():
        folder = run_experiment(Experiment.from_yaml(small_experiment.write(tmp_path / "run", model=model)))
    first, last = load_state(folder.rounds.best), load_state(folder.rounds.last)
    assert first.keys() == last.keys() >= {"head.score.weight", "head.classify.bias"}
    assert bool(last["head.score.weight"].any())
    assert "Attention pooling head" in folder.report.read_text(encoding="utf-8")
