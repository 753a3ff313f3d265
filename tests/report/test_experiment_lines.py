"""The encoder with its weights, and who is included, in a line each."""

import importlib.metadata
import importlib.util
from pathlib import Path

import pytest
from small_files import write_small

from fedtune3d.config.experiment import Experiment
from fedtune3d.report.experiment_lines import (
    encoder_line,
    included_lines,
    inclusion_sentences,
    random_weights_warnings,
)
from fedtune3d.report.methods import label_sentences


def experiment(folder: Path, model: dict[str, str], **changes: object) -> Experiment:
    return Experiment.from_yaml(write_small(folder, model=model, **changes))


def test_the_encoder_is_named_with_its_weights(tmp_path: Path) -> None:
    version = importlib.metadata.version("deepbet")
    assert encoder_line(experiment(tmp_path, {})) == "Encoder: vit_b, random weights"
    assert (
        encoder_line(experiment(tmp_path, {"encoder": "deepbet"}))
        == f"Encoder: deepbet, pre-trained (deepbet {version})"
    )
    released = experiment(tmp_path, {"encoder": "vit_b", "weights": "files/sam_med3d_turbo.pth"})
    assert encoder_line(released) == "Encoder: vit_b, pre-trained (sam_med3d_turbo.pth)"
    reference = experiment(tmp_path, {"encoder": "resnet18"}, tuning={"method": "full"})
    assert encoder_line(reference) == "Encoder: none (resnet18 is trained from scratch)"


def test_random_weights_in_the_place_of_packaged_ones_are_a_warning(tmp_path: Path) -> None:
    """As after a change of the encoder's name alone, in a file that says `weights: random`."""
    (warning,) = random_weights_warnings(experiment(tmp_path, {"encoder": "deepbet", "weights": "random"}))
    assert warning.startswith("encoder deepbet has random weights, but comes with pre-trained ones (deepbet 1.0.2")
    released = {"encoder": "vit_b", "weights": "files/sam_med3d_turbo.pth"}
    for model in ({"encoder": "deepbet"}, {"encoder": "tiny"}, released):
        assert random_weights_warnings(experiment(tmp_path, model)) == []


def test_random_weights_name_the_released_ones_and_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for encoder, file in (("vit_b", "sam_med3d_turbo.pth"), ("volumes", "model.pth")):
        model = {"encoder": encoder, "head": "linear"}
        (warning,) = random_weights_warnings(experiment(tmp_path, model))
        assert warning.startswith(f"encoder {encoder} has random weights")
        assert f"model.weights: {file} " in warning
        assert "model: {encoder: deepbet, head: linear}, which comes pre-trained and is installed" in warning
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    (warning,) = random_weights_warnings(experiment(tmp_path, {"encoder": "vit_b"}))
    assert "deepbet" not in warning


def test_who_is_included_is_said_once_or_per_site(tmp_path: Path) -> None:
    assert included_lines(experiment(tmp_path, {})) == []
    shared = experiment(tmp_path, {}, include="diagnosis == CN")
    assert included_lines(shared) == ["Include: diagnosis == CN"]
    sentence = "Only scans that met “diagnosis == CN” in the table of participants or sessions were included."
    assert list(inclusion_sentences(shared)) == [sentence]
    assert next(label_sentences(shared)) == sentence
    sites = [{"name": "A", "root": "a", "include": "group == HC"}, {"name": "B", "root": "b"}]
    assert included_lines(experiment(tmp_path, {}, sites=sites)) == ["Include at A: group == HC"]
    own = experiment(tmp_path, {}, sites=sites, include="diagnosis == CN")
    assert included_lines(own) == ["Include at A: group == HC", "Include at B: diagnosis == CN"]
    assert next(inclusion_sentences(own)).startswith("At site A, only scans that met “group == HC” in the table")
