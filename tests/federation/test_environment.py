from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.federation.environment import VERSIONED, Environment, TracedWeights
from fedtune3d.models.hub import HubOrigin

HERE = Environment.here(device="cpu", threads=2, weights=TracedWeights("random", None, None), simulated=False)


def test_it_names_the_packages_that_results_depend_on() -> None:
    assert list(HERE.versions) == list(VERSIONED)
    assert HERE.versions["torch"] == torch.__version__


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    fetched = TracedWeights("turbo.pth", "a" * 64, HubOrigin("owner/name", "turbo.pth", "1" * 40, "a" * 64))
    for environment in (HERE, replace(HERE, weights=fetched)):
        write_typed(tmp_path / "environment.json", environment)
        assert read_typed(Environment, tmp_path / "environment.json", "run it again with --resume") == environment


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text("{}")
    with pytest.raises(InputError, match=r"environment\.json: .*run it again with --resume"):
        read_typed(Environment, tmp_path / "environment.json", "run it again with --resume")
