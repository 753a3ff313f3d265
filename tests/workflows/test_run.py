"""A whole run over two small sites: what it leaves, and that killing it changes nothing."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import start
from updates_sent import updates_sent
from waiting import wait_until

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d._utils.folders import RunFolder, memory_version
from fedtune3d._utils.seeds import derive_seed
from fedtune3d._utils.state_dicts import load_state
from fedtune3d._utils.typed_json import from_json
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation import combine, summarise
from fedtune3d.evaluation.against_baselines import against_baselines
from fedtune3d.evaluation.membership import attack_membership
from fedtune3d.evaluation.summary import Summary
from fedtune3d.federation.site.predictions_table import read_predictions
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.run_folder import read_metrics

BASELINES = ["local", "centralized"]
LONG = {"training": {"rounds": 6, "batch_size": 4}, "baselines": BASELINES}


def test_a_run_leaves_what_the_design_says(small_experiment: Any, small_run: RunFolder) -> None:
    folder = small_run
    assert folder.report.exists()
    assert {"config.yaml", "environment.json", "rounds.jsonl", "metrics.json", "checkpoints", "sites"} <= {
        item.name for item in folder.path.iterdir()
    }
    lines = [json.loads(line) for line in (folder.path / "rounds.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["train", "train", "score"]
    for line in lines[:2]:
        assert sum(entry["weight"] for entry in line["sites"].values()) == pytest.approx(1)
        assert line["sites"]["A"]["weight"] == pytest.approx(7 / 12, abs=0.1)  # 14 of 24 people
    assert read_metrics(folder).weights.source == "random"
    assert not read_metrics(folder).simulated
    assert set(read_metrics(folder).methods) == {"federated", "local", "centralized"}
    assert str(small_experiment.folder) not in (folder.path / "config.yaml").read_text()
    check_that_the_metrics_follow(folder)


def check_that_the_metrics_follow(folder: RunFolder) -> None:
    """From what the sites sent, and what they sent from their tables of predictions."""
    sent = {site: json.loads(folder.summary(site).read_text()) for site in "AB"}
    by_method = {
        method: {site: from_json(Summary, sent[site][method]) for site in sent}
        for method in read_metrics(folder).methods
    }
    assert read_metrics(folder).against == against_baselines(by_method)
    for method, metrics in read_metrics(folder).methods.items():
        summaries = by_method[method]
        assert metrics == combine(summaries, 3, method != "local")
        for site, summary in summaries.items():
            training, validation, test = (
                read_predictions(folder.site(site).path, method, split) for split in ("train", "validation", "test")
            )
            assert set(summary.test.groups) == {"sex", "age", "scanner"}
            seed = derive_seed(3, site, "summary")
            other = None if method == "federated" else read_predictions(folder.site(site).path, "federated")
            attack = attack_membership(training, test)
            expected = summarise(validation, test, seed, share_predictions=True, federated=other, membership=attack)
            assert summary == replace(expected, test=replace(expected.test, groups=summary.test.groups))


@pytest.mark.ci
def test_leaving_one_of_two_sites_out_is_the_others_local_training(small_experiment: Any, tmp_path: Path) -> None:
    """With two sites, who trains without A is B alone, from the same seeds: the same bits, tested at the other site."""
    path = small_experiment.write(tmp_path / "run", baselines=["local", "leave_one_site_out"])
    folder = run_experiment(Experiment.from_yaml(path), report=False)
    methods = read_metrics(folder).methods
    for left_out, other in ("AB", "BA"):
        without, alone = (
            load_state(rounds.best) for rounds in (folder.rounds_without(left_out), folder.local_rounds(other))
        )
        assert all(torch.equal(without[name], alone[name]) for name in alone)
        tested = methods["leave_one_site_out"].sites[left_out]
        assert tested.threshold == methods["local"].sites[other].threshold
        assert tested.scans == methods["federated"].sites[left_out].scans
        assert folder.site(left_out).predictions("leave_one_site_out").exists()
    assert methods["leave_one_site_out"].pooled is None
    assert methods["leave_one_site_out"].membership is None  # nobody of the tested site was in the training
    assert methods["local"].membership is not None
    trained = memory_version(folder.site("B").memory("without-A"), 2)
    before, metrics = trained.stat().st_mtime_ns, folder.metrics.read_bytes()
    folder.metrics.unlink()
    run_experiment(Experiment.from_yaml(path), resume=True, report=False)
    assert trained.stat().st_mtime_ns == before
    assert folder.metrics.read_bytes() == metrics


@pytest.mark.slow
def test_baselines_know_nothing_of_exact_averagings_residuals(small_experiment: Any, tmp_path: Path) -> None:
    """They train in the model that the federated state, in exact averaging, had changed frozen weights of."""
    states = {}
    for way in ("exact", "factors"):
        values = {
            "tuning": {"method": "lora", "rank": 2, "blocks": [1]},
            "aggregation": {"rule": "fedavg", "lora": way},
            "baselines": ["local"],
        }
        folder = run_experiment(Experiment.from_yaml(small_experiment.write(tmp_path / way, **values)), report=False)
        states[way] = load_state(folder.local_rounds("A").best)
    assert all(torch.equal(states["exact"][name], tensor) for name, tensor in states["factors"].items())


def test_leaving_a_site_out_needs_two(small_experiment: Any, tmp_path: Path) -> None:
    sites = [{"name": "A", "root": str(small_experiment.folder / "A")}]
    path = small_experiment.write(tmp_path / "run", sites=sites, baselines=["leave_one_site_out"])
    with pytest.raises(InputError, match="leave_one_site_out needs at least two sites"):
        Experiment.from_yaml(path)


def test_no_person_is_in_two_splits_and_all_are_predicted(small_run: RunFolder) -> None:
    with small_run.site("A").predictions().open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert sorted(row["participant"] for row in rows) == [f"sub-{number:02d}" for number in range(14)]
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert all(row["label"] == str(int(row["participant"][-1]) % 2) for row in rows)


def test_a_finished_run_is_not_overwritten(small_experiment: Any, small_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(small_run.path, tmp_path / "run")
    path = small_experiment.write(tmp_path / "run", baselines=BASELINES)
    with pytest.raises(InputError, match="already contains a run; add --resume"):
        run_experiment(Experiment.from_yaml(path), report=False)
    changed = small_experiment.write(tmp_path / "run", baselines=BASELINES, seed=4)
    with pytest.raises(InputError, match=r"another configuration \(seed: 3 before, \d+ now\)"):
        run_experiment(Experiment.from_yaml(changed), resume=True, report=False)


def test_missing_roots_are_reported_together(small_experiment: Any, tmp_path: Path) -> None:
    sites = [{"name": "A", "root": "nowhere"}, {"name": "B"}]
    path = small_experiment.write(tmp_path / "run", sites=sites)
    with pytest.raises(InputError, match=r"(?s)site A: .*nowhere: no such folder.*\n.*site B: `root`"):
        run_experiment(Experiment.from_yaml(path), report=False)
    assert not (tmp_path / "run").exists()


def kill_when(path: Path, moment: Callable[[], bool]) -> None:
    running = start(["run", path, "--resume"], path.with_suffix(".log"))
    wait_until(lambda: moment() or running.process.exitcode is not None, "the moment to kill it", pause_seconds=0.002)
    assert running.process.exitcode is None, running.said
    running.kill()


@pytest.mark.ci
def test_killed_three_times_and_resumed_gives_the_same_bits(small_experiment: Any, tmp_path: Path) -> None:
    alone = run_experiment(Experiment.from_yaml(small_experiment.write(tmp_path / "alone", **LONG)), report=False).path
    path, killed = small_experiment.write(tmp_path / "killed", **LONG), tmp_path / "killed"
    kill_when(path, (killed / "checkpoints" / "rule-00001.safetensors").exists)  # a round is being committed
    sent = partial(updates_sent, RunFolder(killed))
    kill_when(path, lambda: sent("A") > sent("B"))  # one site has answered, one has not
    kill_when(path, (killed / "baselines" / "centralized" / "rounds.jsonl").exists)  # the last baseline has begun
    last = start(["run", path, "--resume"], tmp_path / "last.log")
    assert last.wait() == 0, last.said
    for name in (
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "sites/A/predictions.tsv",
        "metrics.json",
    ):
        assert sha256_file(killed / name) == sha256_file(alone / name), name
    baseline = "baselines/centralized/checkpoints/last.safetensors"
    assert sha256_file(killed / baseline) == sha256_file(alone / baseline)
    assert len((killed / "rounds.jsonl").read_text().splitlines()) == 7


def test_a_label_that_nobody_has_stops_before_training(small_experiment: Any, tmp_path: Path) -> None:
    path = small_experiment.write(tmp_path / "run", labels={"positive": ["Alzheimer"], "negative": ["CN"]})
    with pytest.raises(InputError, match=r"labels\.positive: no one at any site is positive"):
        run_experiment(Experiment.from_yaml(path), report=False)
    assert not (tmp_path / "run" / "rounds.jsonl").exists()


def test_a_run_that_stopped_before_its_first_round_gives_way(small_experiment: Any, tmp_path: Path) -> None:
    nobody = {"positive": ["CN"], "negative": ["Alzheimer"]}
    wrong = small_experiment.write(tmp_path / "run", labels=nobody)
    with pytest.raises(InputError, match=r"labels\.negative: no one at any site is negative"):
        run_experiment(Experiment.from_yaml(wrong), report=False)
    right = Experiment.from_yaml(small_experiment.write(tmp_path / "run"))
    run_experiment(right, report=False)
    assert read_metrics(RunFolder(tmp_path / "run")).federated


def test_an_output_that_is_a_file_is_one_line(small_experiment: Any, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match=r"run.*; choose another folder"):
        run_experiment(Experiment.from_yaml(small_experiment.write(tmp_path / "run")), report=False)
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(small_experiment: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device: cuda, but PyTorch finds no GPU"):
        run_experiment(Experiment.from_yaml(small_experiment.write(tmp_path / "run", device="cuda")), report=False)


@pytest.mark.ci
def test_added_rounds_end_as_if_all_had_been_asked_for_at_once(small_experiment: Any, tmp_path: Path) -> None:
    training = small_experiment.values["training"]
    options = {"aggregation": {"rule": "fedce"}, "baselines": ["local"]}
    whole = small_experiment.write(tmp_path / "whole", training=training | {"rounds": 3}, **options)
    run_experiment(Experiment.from_yaml(whole), report=False)
    grown = small_experiment.write(tmp_path / "grown", training=training | {"rounds": 1}, **options)
    run_experiment(Experiment.from_yaml(grown), report=False)
    grown = small_experiment.write(tmp_path / "grown", training=training | {"rounds": 3}, **options)
    run_experiment(Experiment.from_yaml(grown), resume=True, report=False)
    for name in ("checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.json"):
        assert (tmp_path / "grown" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    fewer = small_experiment.write(tmp_path / "grown", training=training | {"rounds": 2}, **options)
    with pytest.raises(InputError, match=r"training\.rounds: 3 before, 2 now\) \(rounds can be added"):
        run_experiment(Experiment.from_yaml(fewer), resume=True, report=False)
