"""The size of a run folder that plan gives, against the folder of a run."""

from dataclasses import replace
from typing import Any

import pytest

from fedtune3d._utils.folders import RunFolder
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.site.costs import MeasuredCosts
from fedtune3d.workflows.run_folder_size import run_folder_bytes

COSTS = MeasuredCosts(
    trainable_parameters=66,
    state_bytes=264,
    bytes_down=264,
    bytes_up=264,
    scored_states=2,
    scores_training=False,
    remembered_bytes=0,
    feature_bytes=0,
    encode_seconds=0.0,
    step_seconds=0.1,
    forward_seconds=0.1,
    host_bytes=10**9,
    gpu_bytes=None,
    device="cpu",
)
FEW = (7, 5)
"""Training scans of the small run's sites."""


@pytest.fixture
def experiment(small_experiment: Any) -> Experiment:
    """That of the small run, with a linear head on the tiny encoder."""
    return Experiment.model_validate({**small_experiment.values, "baselines": ["local", "centralized"]})


def test_it_is_that_of_a_run_within_a_factor_of_two(small_run: RunFolder, experiment: Experiment) -> None:
    written = sum(path.stat().st_size for path in small_run.path.rglob("*") if path.is_file())
    assert written / 2 < run_folder_bytes(experiment, COSTS, FEW) < 2 * written


def test_it_grows_with_checkpoints_and_baselines(experiment: Experiment) -> None:
    """The best and the last state of the federated model, two local ones and a centralized one."""
    large = replace(COSTS, state_bytes=7_000_000)
    grown = run_folder_bytes(experiment, large, FEW) - run_folder_bytes(experiment, COSTS, FEW)
    assert grown == 2 * 4 * (7_000_000 - 264)
    more = experiment.model_copy(update={"baselines": ("local", "leave_one_site_out", "centralized")})
    assert run_folder_bytes(more, large, FEW) > run_folder_bytes(experiment, large, FEW) + 2 * 2 * 7_000_000
    alone = experiment.model_copy(update={"baselines": ()})
    assert run_folder_bytes(alone, COSTS, FEW) < run_folder_bytes(experiment, COSTS, FEW)


def test_what_sites_remember_is_kept_twice(experiment: Experiment) -> None:
    remembering = replace(COSTS, remembered_bytes=1_000_000)
    grown = run_folder_bytes(experiment, remembering, FEW) - run_folder_bytes(experiment, COSTS, FEW)
    assert grown == 2 * 2 * 1_000_000


def test_statistics_of_features_are_of_sites_with_enough_scans(experiment: Experiment) -> None:
    """A mean and a covariance of 384 channels in float64."""
    assert run_folder_bytes(experiment, COSTS, (8, 7)) - run_folder_bytes(experiment, COSTS, FEW) == 8 * 384 * 385
