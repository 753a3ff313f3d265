from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.preparation import PreparationSection
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.preparation.settings import PreparationSettings

FINE = InputSpec(size=192, spacing_mm=1.0, space="mni", intensity="minmax", fixed_size=False)


def test_the_encoder_says_how_scans_are_prepared() -> None:
    expected = PreparationSettings(("brain", "bias", "register"), "minmax", "cpu", 192, 1.0)
    assert PreparationSection().settings(FINE) == expected
    assert PreparationSection().departures("fine", FINE) == []


def test_the_file_may_say_otherwise_and_is_warned() -> None:
    section = PreparationSection(steps="auto", size=96, intensity="zscore")
    assert section.settings(FINE) == PreparationSettings("auto", "zscore", "cpu", 96, 1.0)
    assert section.departures("fine", FINE) == [
        "preparation.size: encoder fine takes 192, the file says 96; released weights may not fit",
        "preparation.intensity: encoder fine takes minmax, the file says zscore; released weights may not fit",
    ]


def test_what_the_encoder_takes_anyway_is_no_departure() -> None:
    assert PreparationSection(size=192, spacing_mm=1.0, intensity="minmax").departures("fine", FINE) == []


EXPERIMENT = """
name: grid
labels: {positive: [AD], negative: [CN]}
sites: [{name: A, root: A}]
model: {encoder: tiny}
"""


def test_a_departure_warns_and_another_size_is_refused_where_the_network_takes_one_only(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(EXPERIMENT + "preparation: {spacing_mm: 2}\n")
    experiment = Experiment.from_yaml(path)
    assert experiment.preparation_settings.causes()["spacing_mm"] == 2.0
    assert [warning.partition(":")[0] for warning in experiment.warnings] == ["preparation.spacing_mm"]
    path.write_text(EXPERIMENT + "preparation: {size: 96}\n")
    with pytest.raises(InputError, match="encoder tiny takes 128 voxels only; leave it out"):
        Experiment.from_yaml(path)


def test_heads_and_tunings_that_do_not_fit_the_encoder_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    for model, reason in (
        ("{encoder: volumes, head: conv_s}", r"head conv_s needs a map of 4³ .* makes a vector; write head: linear"),
        ("{encoder: deepbet}\ntuning: {method: lora}", "encoder deepbet has no attention for LoRA to adapt"),
        ("{encoder: tiny, weights: packaged}", "encoder tiny has no packaged weights"),
    ):
        path.write_text(EXPERIMENT.replace("{encoder: tiny}", model))
        with pytest.raises(InputError, match=reason):
            Experiment.from_yaml(path)
