import json
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.sealed import write_sealed_json
from fedtune3d._utils.typed_json import to_json
from fedtune3d.evaluation.metrics import read_metrics


def test_what_a_run_wrote_is_read_back_as_it_was(small_run: RunFolder) -> None:
    metrics = read_metrics(small_run.metrics)
    written = json.loads(small_run.metrics.read_text())
    del written["checksum"]
    assert json.loads(json.dumps(to_json(metrics))) == written
    assert list(metrics.methods) == ["federated", "local", "centralized"]
    assert list(metrics.federated.parts) == ["A", "B", "Pooled"]
    assert list(metrics.methods["local"].parts) == ["A", "B"]  # probabilities of different models are not pooled


def test_metrics_of_another_version_are_refused(small_run: RunFolder, tmp_path: Path) -> None:
    written = json.loads(small_run.metrics.read_text())
    del written["checksum"]
    write_sealed_json(tmp_path / "metrics.json", written | {"version": 1})
    with pytest.raises(InputError, match=r"metrics\.json"):
        read_metrics(tmp_path / "metrics.json")
