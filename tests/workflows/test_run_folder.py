"""A run folder holds one run: what may be added to it, and what is refused."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.run_config import read_run_config
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.config.feature_versions import FeatureVersions
from fedtune3d.evaluation.metrics import ModelCost, RunMetrics, WeightsSource
from fedtune3d.federation.environment import Environment, TracedWeights
from fedtune3d.workflows.run_folder import earlier_run_warnings, open_run, read_metrics, require_device, write_metrics

PUBLIC = {
    "name": "x",
    "model": {"encoder": "tiny"},
    "seed": 1,
    "baselines": ["local"],
    "explain": None,
    "training": {"rounds": 2, "schedule": "constant"},
}

METRICS = RunMetrics(
    version=4,
    experiment="x",
    simulated=True,
    weights=WeightsSource("random", None),
    head="linear",
    tuning="frozen",
    rule="fedavg",
    best_round=1,
    groups=None,
    cost=ModelCost(770, 1000, 6160),
    methods={},
    against={},
)


def changed(**changes: Any) -> dict[str, Any]:
    """The configuration with other values, those of `training` merged."""
    values = deepcopy(PUBLIC) | {name: value for name, value in changes.items() if name != "training"}
    return values | {"training": PUBLIC["training"] | changes.get("training", {})}  # type: ignore[operator]


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    """A folder with a run that has rounds and metrics."""
    folder = RunFolder(tmp_path / "run")
    open_run(folder, deepcopy(PUBLIC), resume=False)
    folder.rounds.ledger.touch()
    write_metrics(folder, METRICS, {})
    return folder


def test_a_new_folder_gets_the_configuration_with_the_release_of_its_layout(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    open_run(folder, deepcopy(PUBLIC), resume=False)
    assert read_run_config(folder.config) == PUBLIC
    assert yaml.safe_load(folder.config.read_text())["fedtune3d"] == "0.2"


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(InputError, match="contains files but no run"):
        open_run(RunFolder(tmp_path), deepcopy(PUBLIC), resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_run_is_continued_only_when_asked(finished: RunFolder) -> None:
    with pytest.raises(InputError, match="already contains a run; add --resume"):
        open_run(finished, deepcopy(PUBLIC), resume=False)
    open_run(finished, deepcopy(PUBLIC), resume=True)
    assert read_metrics(finished) == METRICS


def write_environment(folder: RunFolder, features: FeatureVersions | None) -> None:
    """The environment of a run with an encoder and preparation of these versions."""
    weights = TracedWeights("random", None, None)
    environment = Environment.here(device="cpu", threads=1, weights=weights, simulated=True, features=features)
    write_typed(folder.environment, environment)


@pytest.mark.parametrize("features", [FeatureVersions(99, 99), None], ids=["others", "not known"])
def test_a_run_of_other_features_is_not_continued(finished: RunFolder, features: FeatureVersions | None) -> None:
    longer = changed(training={"rounds": 3})
    write_environment(finished, features)
    open_run(finished, deepcopy(PUBLIC), resume=True)  # complete: nothing is computed
    with pytest.raises(InputError, match="encoder tiny"):
        open_run(finished, deepcopy(PUBLIC), resume=True, alone=False)
    with pytest.raises(InputError, match=r"encoder tiny.*use the fedtune3d that trained it, or train it again with an"):
        open_run(finished, longer, resume=True)
    assert read_metrics(finished) == METRICS
    assert read_run_config(finished.config) == PUBLIC
    assert "encoder tiny" in earlier_run_warnings(finished, longer)[0]
    finished.metrics.unlink()
    with pytest.raises(InputError, match="encoder tiny"):
        open_run(finished, deepcopy(PUBLIC), resume=True)
    write_metrics(finished, METRICS, {})
    write_environment(finished, FeatureVersions.here("tiny"))
    open_run(finished, deepcopy(PUBLIC), resume=True, alone=False)
    assert read_metrics(finished) == METRICS
    open_run(finished, longer, resume=True)


def test_a_run_is_continued_on_the_kind_of_device_it_began_on(finished: RunFolder) -> None:
    write_environment(finished, FeatureVersions.here("tiny"))
    require_device(finished, "cpu")
    with pytest.raises(InputError, match=r"trained on the CPU, but would continue on a GPU.*CUDA_VISIBLE_DEVICES="):
        require_device(finished, "cuda")


@pytest.mark.parametrize(
    "addition",
    [{"baselines": ["local", "centralized"]}, {"training": {"rounds": 3}}, {"explain": {"method": "gradcam"}}],
    ids=["baselines", "rounds", "explain"],
)
def test_what_leaves_the_rounds_as_they_are_may_be_added(finished: RunFolder, addition: dict[str, Any]) -> None:
    open_run(finished, changed(**addition), resume=True)
    assert read_run_config(finished.config) == changed(**addition)
    with pytest.raises(InputError, match="the run is not complete"):
        read_metrics(finished)  # the evaluation is done again


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 2}, "seed: 1 before, 2 now"),
        ({"baselines": []}, "baselines: "),
        ({"training": {"rounds": 1}}, "training.rounds: 2 before, 1 now"),
        ({"training": {"rounds": 3, "schedule": "cosine"}}, "training.rounds: 2 before, 3 now"),
    ],
)
def test_another_run_is_refused_with_what_differs(finished: RunFolder, change: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match="contains a run with another configuration") as caught:
        open_run(finished, changed(**change), resume=True)
    assert named in str(caught.value)
    assert read_metrics(finished) == METRICS  # nothing was touched


def test_across_hospitals_no_rounds_are_added(finished: RunFolder) -> None:
    with pytest.raises(InputError, match=r"training\.rounds: 2 before, 3 now"):
        open_run(finished, changed(training={"rounds": 3}), resume=True, may_grow=False)


def test_a_folder_of_0_1_names_the_version_it_needs(finished: RunFolder) -> None:
    finished.config.write_text(yaml.safe_dump(PUBLIC))
    with pytest.raises(InputError, match=r"this run folder needs fedtune3d 0\.1"):
        open_run(finished, deepcopy(PUBLIC), resume=True)
