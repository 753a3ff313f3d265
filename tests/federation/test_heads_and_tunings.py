"""Every head with every tuning trains two rounds over two sites, and what travels is what trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fedtune3d._utils.progress import Silent
from fedtune3d._utils.state_dicts import load_state, state_bytes
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.models.tuning import read_state
from fedtune3d.workflows.prepare import prepare_sites
from fedtune3d.workflows.run import run_experiment

LORA = {"method": "lora", "rank": 2, "blocks": "last:1"}
ELSEWHERE = ("linear-frozen", "linear-lora", "conv_s-frozen")
"""Slow here, as every small run trains the first, `test_lora_averaging_in_every_way` the second and the runs of
`test_mean_maps` the third."""
CHOICES = [
    pytest.param(
        head,
        tuning,
        id=(name := f"{head}-{tuning['method']}"),
        marks=[pytest.mark.slow] * (head == "conv_l" or name in ELSEWHERE),
    )
    for head in ("linear", "conv_s", "conv_l")
    for tuning in ({"method": "frozen"}, {"method": "full"}, LORA)
]


@pytest.fixture(scope="module")
def two_sites(
    tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None], small_experiment: Any
) -> dict[str, Any]:
    """Six people per site, and the values of an experiment over them.

    Their scans are the small experiment's first six, and its cache is theirs.
    """
    folder = tmp_path_factory.mktemp("two")
    for seed, name in enumerate("AB"):
        write_small_site(folder / name, people=6, seed=seed)
    return {
        "name": "two",
        "sites": [{"name": name, "root": str(folder / name)} for name in "AB"],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "cache": small_experiment.values["cache"],
        "threads": 1,
        "training": {"rounds": 2, "batch_size": 3},
    }


def run(values: dict[str, Any], output: Path) -> tuple[Experiment, list[LedgerLine]]:
    experiment = Experiment.model_validate(values | {"output": output})
    run_experiment(experiment, resume=False, progress=None, report=False)
    return experiment, RoundsFolder(output).lines()


@pytest.mark.ci
@pytest.mark.parametrize(("head", "tuning"), CHOICES)
def test_two_rounds(two_sites: dict[str, Any], tmp_path: Path, head: str, tuning: dict[str, Any]) -> None:
    values = two_sites | {"model": {"encoder": "tiny", "head": head}, "tuning": tuning}
    experiment, lines = run(values, tmp_path / "run")
    assert [line.kind for line in lines] == ["train", "train", "score"]
    assert all(entry.participated and entry.fault is None for entry in lines[1].sites.values())
    assembled = ProcessModel(experiment).assembled
    initial, trained = read_state(assembled.model, assembled.trainable), load_state(RoundsFolder(tmp_path / "run").last)
    assert trained.keys() == initial.keys() == set(assembled.trainable.names)
    assert lines[0].sites["A"].bytes_up == state_bytes(initial)
    changed = {name for name in initial if not torch.equal(initial[name], trained[name])}
    matrices = {name for name in assembled.trainable.parameters if name.startswith("head.") and initial[name].dim() > 1}
    assert changed >= matrices  # a bias may not: Adam's first steps at the two sites can cancel exactly
    assert any(name.startswith("encoder.") for name in changed) == (tuning["method"] != "frozen")


@pytest.mark.ci
@pytest.mark.parametrize("mode", ["factors", "exact", "freeze_a", "restart"])
def test_lora_averaging_in_every_way(two_sites: dict[str, Any], tmp_path: Path, mode: str) -> None:
    changes = {"tuning": LORA, "aggregation": {"rule": "fedce", "lora": mode}}
    values = two_sites | {"model": {"encoder": "tiny", "head": "linear"}} | changes
    _, lines = run(values, tmp_path / "run")
    assert 0 <= lines[1].signals["lora_averaging_error"] < 10
    residuals = [name for name in load_state(RoundsFolder(tmp_path / "run").last) if "lora_residual" in name]
    assert bool(residuals) == (mode in ("exact", "restart"))


@pytest.mark.ci
def test_ncc_runs_once_over_sites_whose_policy_allows_it(two_sites: dict[str, Any], tmp_path: Path) -> None:
    sites = [site | {"policy": {"min_per_class": 1}} for site in two_sites["sites"]]
    changes = {"sites": sites, "aggregation": {"rule": "ncc"}, "training": {"rounds": 1}}
    values = two_sites | {"model": {"encoder": "tiny", "head": "ncc"}} | changes
    _, lines = run(values, tmp_path / "run")
    assert [line.kind for line in lines] == ["train", "score"]
    assert load_state(RoundsFolder(tmp_path / "run").last)["head.counts"].sum() == sum(
        entry.examples for entry in lines[0].sites.values()
    )


def test_ncc_of_few_people_does_not_leave(two_sites: dict[str, Any], tmp_path: Path) -> None:
    values = two_sites | {"model": {"encoder": "tiny", "head": "ncc"}, "aggregation": {"rule": "ncc"}}
    with pytest.raises(ValueError, match=r"policy\.min_per_class of site A is 5"):
        run(values | {"training": {"rounds": 1}}, tmp_path / "run")


@pytest.mark.slow
def test_resnet_trains_from_scratch(two_sites: dict[str, Any], tmp_path: Path) -> None:
    values = two_sites | {"model": {"encoder": "resnet18"}, "tuning": {"method": "full"}}
    _, lines = run(values, tmp_path / "run")
    assert lines[0].sites["A"].bytes_up > 4 * 33_000_000
    assert all(entry.participated for entry in lines[1].sites.values())


def test_prepare_counts_the_scans_of_each_site(two_sites: dict[str, Any], tmp_path: Path) -> None:
    experiment = Experiment.model_validate(two_sites | {"output": tmp_path / "run"})
    prepared = prepare_sites(experiment, Silent(), workers=1)
    assert {name: (site.scans, site.bad) for name, site in prepared.items()} == {"A": (6, []), "B": (6, [])}
