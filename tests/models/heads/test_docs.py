"""What docs/heads.md says is so."""

import re
from pathlib import Path

import pytest
import torch

from fedtune3d.models import heads
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders.sam_med3d import build_encoder
from fedtune3d.models.heads import build_head, head_names
from fedtune3d.models.tuning import Frozen, apply_tuning

DOCUMENT = (Path(__file__).parents[3] / "docs" / "heads.md").read_text(encoding="utf-8")


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_table_lists_every_head_with_its_parameters():
    found = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", DOCUMENT, flags=re.MULTILINE)
    rows = {name: number(count) for name, count in found}
    assert rows == {name: sum(p.numel() for p in build_head(name).parameters()) for name in head_names()}


@pytest.mark.parametrize(("name", "title"), [("conv_s", "CONV S"), ("conv_l", "CONV L")])
def test_the_drawing_is_the_layout(name, title):
    drawing = re.search(rf"^{title} .*?\n\n|^{title} .*?\n```", DOCUMENT, flags=re.MULTILINE | re.DOTALL).group()
    drawn_shapes = [tuple(map(int, shape.split(", "))) for shape in re.findall(r"\(([\d, ]+)\)", drawing)]
    *drawn_counts, total = [number(count) for count in re.findall(r" ([\d,]+)$", drawing, flags=re.MULTILINE)]
    head, x = build_head(name), torch.zeros(1, 384, 8, 8, 8)
    shapes = [tuple(x.shape[1:])]
    with torch.inference_mode():
        for part in head:
            x = part(x)
            shapes.append(tuple(x.shape[1:]))
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in head]
    assert drawn_shapes == shapes
    assert drawn_counts == counts
    assert total == sum(counts)


def test_the_example_is_a_head_by_being_in_the_folder(tmp_path, monkeypatch):
    example = re.search(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL).group(1)
    (tmp_path / "attention_pool.py").write_text(example, encoding="utf-8")
    monkeypatch.setattr(heads, "__path__", [*heads.__path__, str(tmp_path)])
    assert "attention_pool" in head_names()
    model = Classifier(build_encoder("tiny"), build_head("attention_pool"))
    trainable = apply_tuning(model, Frozen())
    assert "head.score.weight" in trainable.names
    assert model(torch.zeros(1, 1, 128, 128, 128)).shape == (1, 2)
