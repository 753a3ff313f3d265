"""The encoder of docs/encoders.md, one file named in the experiment file, on the whole way of a model."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders.export import MODEL
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.handover import from_line, to_line
from fedtune3d.federation.site.costs import measure_costs
from fedtune3d.models.encoders import _registry, install_encoder
from fedtune3d.testing import check_encoder
from fedtune3d.training.prediction import as_input
from fedtune3d.workflows.explain import explain_scan
from fedtune3d.workflows.export import export_run, load_exported
from fedtune3d.workflows.predict import Predictor
from fedtune3d.workflows.run import run_experiment

pytestmark = pytest.mark.ci

DOCS = Path(__file__).parents[2] / "docs" / "encoders.md"


@pytest.fixture
def strided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the encoder, which is the only thing that is added."""
    section = DOCS.read_text(encoding="utf-8").partition("## Add an encoder")[2]
    code = re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert code is not None
    monkeypatch.setattr(_registry, "_INSTALLED", {})
    path = tmp_path / "strided.py"
    path.write_text(code[1], encoding="utf-8")
    return path


def experiment_of(small_experiment: Any, folder: Path, encoder: Path, **changes: object) -> Experiment:
    model = {"encoder": str(encoder), "head": "linear"}
    training = {"rounds": 1, "batch_size": 4}
    return Experiment.from_yaml(small_experiment.write(folder, model=model, training=training, **changes))


def forget_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a new process, in which no file is installed."""
    monkeypatch.setattr(_registry, "_INSTALLED", {})


def test_it_keeps_the_contract(strided: Path) -> None:
    check_encoder(str(strided))


def test_frozen_it_runs_explains_predicts_and_exports(
    strided: Path, small_experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_experiment(experiment_of(small_experiment, tmp_path / "run", strided), report=False).path
    forget_encoders(monkeypatch)
    with pytest.raises(InputError, match=r"encoder strided is a file of its own, .* --encoder strided.py"):
        Predictor(run)
    install_encoder(strided)
    predictor = Predictor(run)
    scan = next(small_experiment.folder.rglob("*_T1w.nii.gz"))
    prepared = predictor.prepare(scan)
    prediction = predictor.predict(scan, prepared)
    assert 0 <= prediction.probability <= 1
    explanation = explain_scan(predictor, prepared, occluded=True)
    assert explanation.grad_cam is not None
    assert explanation.grad_cam.shape == explanation.occlusion.shape == (128, 128, 128)
    assert explanation.place_mm == 24
    export_run(run, tmp_path / "export", merged=True)
    model, info = load_exported(tmp_path / "export" / MODEL)
    with torch.inference_mode():
        probability = torch.softmax(model(as_input(prepared)).double(), dim=1)[0, 1].item()
    assert info.encoder == "strided"
    np.testing.assert_allclose(probability, prediction.probability, rtol=1e-5)
    strided.write_text(strided.read_text() + "\n# changed\n")
    install_encoder(strided)
    with pytest.raises(InputError, match="get the same file"):
        load_exported(tmp_path / "export" / MODEL)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_in_full_it_trains(strided: Path, small_experiment: Any, tmp_path: Path, workers: int) -> None:
    full = experiment_of(small_experiment, tmp_path / "run", strided, tuning={"method": "full"}, workers=workers)
    assert run_experiment(full, report=False).metrics.exists()


def test_lora_is_refused(strided: Path, small_experiment: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="encoder strided has no attention for LoRA to adapt"):
        experiment_of(small_experiment, tmp_path / "other", strided, tuning={"method": "lora"})


def test_another_process_gets_the_file_with_the_same_bytes_or_none(
    strided: Path, small_experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_of(small_experiment, tmp_path / "run", strided)
    assert measure_costs(experiment).feature_bytes == 32 * 8**3 * 2
    line = to_line(experiment)
    forget_encoders(monkeypatch)
    assert from_line(line) == experiment
    strided.write_text(strided.read_text() + "\n# changed\n")
    forget_encoders(monkeypatch)
    with pytest.raises(InputError, match="expected the encoder's file with SHA-256"):
        from_line(line)
