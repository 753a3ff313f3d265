"""An exported model takes a NIfTI file and says what the run's own model says of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.workflows.export import export_run, load_exported
from fedtune3d.workflows.exported_model import ExportedModel, recalibrate, settings_of
from fedtune3d.workflows.predict import Predictor, predict_scans


@pytest.fixture(scope="module")
def exported(small_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    path, _ = export_run(small_run.path, tmp_path_factory.mktemp("export"), merged=True)
    return load_exported(path)


@pytest.fixture
def scan(small_experiment: Any) -> Path:
    return Path(small_experiment.folder / "A" / "sub-03" / "anat" / "sub-03_T1w.nii.gz")


def test_it_says_what_the_run_says(exported: ExportedModel, small_run: RunFolder, scan: Path) -> None:
    predictor = Predictor(small_run.path)
    assert settings_of(exported.info) == predictor.experiment.preparation_settings
    (expected,) = predict_scans(predictor, [scan])
    found = exported.predict(scan)
    assert found.probabilities["positive"] == pytest.approx(expected.probability, rel=1e-6)
    assert found.probabilities["negative"] == pytest.approx(1 - expected.probability, rel=1e-6)
    assert found.predicted == {True: "positive", False: "negative", None: None}[expected.positive]
    assert (found.number, found.recalibrated) == (None, None)
    model, info = exported  # as a pair, for those who prepare scans themselves
    assert (model, info) == (exported.model, exported.info)


def test_a_file_that_is_no_scan_is_refused_by_its_name(exported: ExportedModel, tmp_path: Path) -> None:
    (tmp_path / "notes.nii.gz").write_text("no scan")
    with pytest.raises(InputError, match=r"notes\.nii\.gz"):
        exported.predict(tmp_path / "notes.nii.gz")


class Fixed(nn.Module):
    """Answers with the same outputs whatever it is given."""

    def __init__(self, *outputs: float) -> None:
        super().__init__()
        self.outputs = torch.tensor([outputs])

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        return self.outputs


def test_of_several_classes_the_most_probable_one_is_predicted(exported: ExportedModel, scan: Path) -> None:
    info = replace(exported.info, outcome=ClassOutcome(("CN", "MCI", "AD")))
    found = ExportedModel(Fixed(0.0, 2.0, 1.0), info).predict(scan)
    assert found.predicted == "MCI"
    assert list(found.probabilities) == ["CN", "MCI", "AD"]
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_a_number_comes_in_its_unit(exported: ExportedModel, scan: Path) -> None:
    info = replace(exported.info, outcome=NumberOutcome("age", 20, 100, "years", "leave_out"))
    found = ExportedModel(Fixed(0.25), info).predict(scan)
    assert (found.number, dict(found.probabilities), found.predicted) == (70, {}, None)


def test_a_recalibration_that_would_reverse_the_classes_is_left_out() -> None:
    assert recalibrate(None, 0.4, 0.5) is None
    assert recalibrate(PlattScaling(-1.0, 0.0, (5, 5)), 0.4, 0.5) is None
    doubled = PlattScaling(2.0, 0.0, (5, 5))
    assert recalibrate(doubled, 0.4, None) == doubled.probability(0.4)
    assert recalibrate(doubled, 0.4, 0.5) == pytest.approx(doubled.probability(0.4))
