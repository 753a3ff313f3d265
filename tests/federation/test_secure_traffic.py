"""Whole runs under secure aggregation: the bytes that the plan says, and the results of runs that show updates."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State, load_state
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answer, Answering, Fault, Task
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.federation.serialisation import flat_state, to_text
from fedtune3d.federation.site.costs import measure
from fedtune3d.workflows.run import run_experiment

SITES = ("A", "B", "hospital-C")
LORA = {"method": "lora", "rank": 2, "blocks": "last:1"}
TEXT_DIGITS = 80
"""Bytes by which texts differ from the plan's: digits of weights and counts, and shorter names."""


@pytest.fixture(scope="module")
def three_sites(
    tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None], small_experiment: Any
) -> dict[str, Any]:
    """Six people per site, and the values of an experiment over them."""
    folder = tmp_path_factory.mktemp("three")
    for seed, name in enumerate(SITES):
        write_small_site(folder / name, people=6, seed=seed)
    return {
        "name": "three",
        "sites": [{"name": name, "root": str(folder / name), "policy": {"min_per_class": 1}} for name in SITES],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "tiny", "head": "linear"},
        "privacy": {"secure_aggregation": True},
        "cache": small_experiment.values["cache"],
        "threads": 1,
        "training": {"rounds": 1, "batch_size": 3},
    }


class Weighed(InProcess):
    """Sites whose messages in the rounds are weighed: tensors, and the text of the steps of secure aggregation."""

    def __init__(self, sites: Mapping[str, Answering]) -> None:
        super().__init__(sites)
        self.down = dict.fromkeys(sites, 0)
        self.up = dict.fromkeys(sites, 0)

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        for reply in super().ask(tasks):
            assert isinstance(reply, Answer), reply
            task = tasks[reply.site]
            if task.kind in ("train", "share_secrets", "mask_update", "confirm_survivors", "reveal_shares"):
                is_step = task.kind != "train"
                self.down[reply.site] += tensor_bytes(task) + is_step * len(to_text(task.instruction))
                self.up[reply.site] += tensor_bytes(reply) + len(to_text(reply.payload))
                if not is_step:  # of its text, the keys alone
                    without_keys = reply.payload.model_copy(update={"keys": None})
                    self.up[reply.site] -= len(to_text(without_keys)) - len("null")
            yield reply


def tensor_bytes(message: Task | Answer) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in flat_state(message.parts).values())


@pytest.mark.ci
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="head"),
        pytest.param({"tuning": LORA}, id="factors"),
        pytest.param({"tuning": LORA, "aggregation": {"rule": "fedavg", "lora": "exact"}}, id="dense products"),
    ],
)
def test_the_plan_counts_what_a_round_sends(
    three_sites: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    experiment = Experiment.model_validate(three_sites | changes | {"output": tmp_path / "run"})
    planned, found = measure(experiment), []

    def reach(sites: Mapping[str, Answering]) -> Weighed:
        found.append(Weighed(sites))
        return found[-1]

    run_experiment(experiment, report=False, reach=reach)
    entries = RoundsFolder(tmp_path / "run").lines()[0].sites
    for site in SITES:
        assert 0 <= planned.bytes_down - found[0].down[site] <= TEXT_DIGITS
        assert 0 <= planned.bytes_up - found[0].up[site] <= TEXT_DIGITS
        assert (entries[site].bytes_down, entries[site].bytes_up) == (found[0].down[site], found[0].up[site])
    shown = measure(experiment.model_copy(update={"privacy": type(experiment.privacy)()}))
    assert planned.bytes_up > 2 * shown.bytes_up
    dense = changes.get("aggregation", {}).get("lora") == "exact"
    assert (planned.bytes_up > 8 * shown.bytes_up) == dense


@pytest.mark.parametrize("rule", ["qfedavg", "fedce", "rate_my_lora"])
def test_a_rule_with_numbers_of_the_sites_can_be_planned(three_sites: dict[str, Any], rule: str) -> None:
    """The plan makes up the losses and norms that q-FedAvg needs to say what goes down in a later round."""
    costs = measure(Experiment.model_validate(three_sites | {"aggregation": {"rule": rule}}))
    assert costs.bytes_up > 8 * costs.trainable_parameters


@pytest.mark.ci
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aggregation": {"rule": "ncc"}, "model": {"encoder": "tiny", "head": "ncc"}}, id="class sums"),
        pytest.param(
            {
                "aggregation": {"rule": "fedbn"},
                "model": {"encoder": "tiny", "head": "conv_s"},
                "training": {"rounds": 2, "batch_size": 3, "optimizer": "sgd", "momentum": 0},
            },
            id="own normalisation",
        ),
    ],
)
def test_a_run_ends_where_it_ends_without_masks(
    three_sites: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    hidden = last_state(three_sites | changes, tmp_path / "hidden", True)
    visible = last_state(three_sites | changes, tmp_path / "visible", False)
    assert hidden.keys() == visible.keys()
    assert any(float(tensor.double().abs().max()) > 0 for tensor in hidden.values())
    for name, tensor in visible.items():
        torch.testing.assert_close(hidden[name], tensor, rtol=1e-6, atol=1e-6, msg=name)


def last_state(values: dict[str, Any], output: Path, secure: bool) -> State:
    experiment = Experiment.model_validate(values | {"output": output, "privacy": {"secure_aggregation": secure}})
    run_experiment(experiment, report=False)
    lines = RoundsFolder(output).lines()
    assert all((line.secure is not None) == secure for line in lines if line.trains)
    return load_state(RoundsFolder(output).last)


def test_a_site_that_allows_less_than_the_experiment_says_so_before_the_run(
    three_sites: dict[str, Any], tmp_path: Path
) -> None:
    sites = [site | {"policy": {"max_share": 0.5}} for site in three_sites["sites"]]
    experiment = Experiment.model_validate(three_sites | {"sites": sites, "output": tmp_path / "run"})
    with pytest.raises(InputError, match=r"policy\.max_share allows one site 50% .* privacy\.max_share: 0\.5 or less"):
        run_experiment(experiment, report=False)
    assert not (tmp_path / "run" / "rounds.jsonl").exists()
