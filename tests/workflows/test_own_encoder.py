"""The encoder of docs/encoders.md, one file put into the folder of encoders, on the whole way of a model."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders.export import MODEL
from fedtune3d.config.experiment import Experiment
from fedtune3d.models import encoders
from fedtune3d.testing import check_encoder
from fedtune3d.workflows.explain import explain_scan
from fedtune3d.workflows.export import export_run, load_exported
from fedtune3d.workflows.predict import Predictor, as_input
from fedtune3d.workflows.run import run_experiment

DOCS = Path(__file__).parents[2] / "docs" / "encoders.md"


@pytest.fixture
def strided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the encoder, whose file is the only thing that is added."""
    section = DOCS.read_text(encoding="utf-8").partition("## Add an encoder")[2]
    code = re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert code is not None
    (tmp_path / "strided.py").write_text(code[1], encoding="utf-8")
    monkeypatch.setattr(encoders, "__path__", [*encoders.__path__, str(tmp_path)])
    yield "strided"
    sys.modules.pop("fedtune3d.models.encoders.strided", None)


def experiment_of(small_experiment: Any, folder: Path, **changes: object) -> Experiment:
    model = {"encoder": "strided", "head": "linear"}
    training = {"rounds": 1, "batch_size": 4}
    return Experiment.from_yaml(small_experiment.write(folder, model=model, training=training, **changes))


def test_it_keeps_the_contract(strided: str) -> None:
    check_encoder(strided)


def test_frozen_it_runs_explains_predicts_and_exports(strided: str, small_experiment: Any, tmp_path: Path) -> None:
    run = run_experiment(experiment_of(small_experiment, tmp_path / "run"), report=False).path
    predictor = Predictor(run)
    scan = next(small_experiment.folder.rglob("*_T1w.nii.gz"))
    prepared = predictor.prepare(scan)
    prediction = predictor.predict(scan, prepared)
    assert 0 <= prediction.probability <= 1
    explanation = explain_scan(predictor, prepared)
    assert explanation.grad_cam is not None
    assert explanation.grad_cam.shape == explanation.occlusion.shape == (128, 128, 128)
    assert explanation.place_mm == 24
    export_run(run, tmp_path / "export", merged=True)
    model, info = load_exported(tmp_path / "export" / MODEL)
    with torch.inference_mode():
        probability = torch.softmax(model(as_input(prepared)).double(), dim=1)[0, 1].item()
    assert info.encoder == strided
    np.testing.assert_allclose(probability, prediction.probability, rtol=1e-5)


def test_in_full_it_trains_and_lora_is_refused(strided: str, small_experiment: Any, tmp_path: Path) -> None:
    run = run_experiment(experiment_of(small_experiment, tmp_path / "run", tuning={"method": "full"}), report=False)
    assert run.metrics.exists()
    with pytest.raises(InputError, match="encoder strided has no attention for LoRA to adapt"):
        experiment_of(small_experiment, tmp_path / "other", tuning={"method": "lora"})


def test_a_path_in_place_of_a_name_is_refused_with_what_to_do(small_experiment: Any, tmp_path: Path) -> None:
    path = small_experiment.write(tmp_path / "run", model={"encoder": "./my_encoder.py"})
    with pytest.raises(InputError, match=r"put my_encoder.py into .*models/encoders and write encoder: my_encoder"):
        Experiment.from_yaml(path)
