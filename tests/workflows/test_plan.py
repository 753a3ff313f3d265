"""What the plan says beforehand is what a run then does."""

import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Lines
from fedtune3d.cli.plan_messages import messages
from fedtune3d.cli.plan_tables import run_tables
from fedtune3d.cohorts.labels import ClassMapping, LabelMapping
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.outcome import TargetSection
from fedtune3d.config.study import Study
from fedtune3d.federation.privacy.differential_privacy.forecast import forecast
from fedtune3d.federation.site.costs import MeasuredCosts, measure
from fedtune3d.federation.tasks.registry import task_kinds
from fedtune3d.preparation import prepare_all
from fedtune3d.workflows import plan_study, study_costs
from fedtune3d.workflows.plan import RunPlan, SiteScans, plan_run, plan_with
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.run_folder import read_metrics
from fedtune3d.workflows.sites import make_sites
from fedtune3d.workflows.study_costs import measure_encoders


@pytest.fixture(scope="module")
def found(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, MeasuredCosts]:
    path = small_experiment.write(tmp_path_factory.mktemp("plan") / "run", aggregation={"rule": "fedce"})
    experiment = Experiment.from_yaml(path)
    return experiment, measure(experiment)


@pytest.fixture(scope="module")
def plan(found: tuple[Experiment, MeasuredCosts]) -> RunPlan:
    return plan_with(*found, SiteScans(found[0]))


@pytest.fixture(scope="module")
def run(found: tuple[Experiment, MeasuredCosts], plan: RunPlan) -> RunFolder:
    """What was planned, carried out."""
    return run_experiment(found[0], report=False)


def test_a_mistyped_word_of_a_site_is_said_by_plan_and_by_whatever_reads_its_tables(
    found: tuple[Experiment, MeasuredCosts],
) -> None:
    first, *others = found[0].sites
    mistyped = LabelMapping(positive=("AD",), negative=("cn",))
    right = [site.model_copy(update={"labels": found[0].labels}) for site in others]
    experiment = found[0].model_copy(update={"labels": mistyped, "sites": (first, *right)})
    (line,) = SiteScans(experiment).notes
    assert re.fullmatch(r"A: nobody meets labels.negative: cn; .* did you mean 'CN'\? Correct the labels, .*", line)
    notes: list[str] = []
    site, *_ = make_sites(experiment, RunFolder(experiment.output), Lines(notes.append))
    assert site.cohort.empty_classes == (line.removeprefix("A: "),)
    assert notes == [f"A: warning: {line.removeprefix('A: ')}"]


def test_a_word_of_the_experiment_that_a_sites_own_labels_exclude_is_refused(
    found: tuple[Experiment, MeasuredCosts],
) -> None:
    """Mistyped under the site's own labels, the word would exclude all controls there."""
    first, *others = found[0].sites
    mistyped = first.model_copy(update={"labels": LabelMapping(positive=("AD",), negative=("cn",))})
    experiment = found[0].model_copy(update={"sites": (mistyped, *others)})
    with pytest.raises(InputError, match=r"the column diagnosis has CN \(.*, but labels.negative of site A does not"):
        SiteScans(experiment)


def test_tables_without_ages_are_a_warning_of_the_plan(found: tuple[Experiment, MeasuredCosts], tmp_path: Path) -> None:
    first, *others = found[0].sites
    assert first.root is not None
    table = tmp_path / "people.tsv"
    table.write_text((first.root / "participants.tsv").read_text().replace("\tage\t", "\tage_years\t"))
    renamed = first.model_copy(update={"participants": table})
    (note,) = SiteScans(found[0].model_copy(update={"sites": (renamed, *others)})).notes
    assert note.startswith("A: no column age (found age_years): rename it; without it: no subgroups by age")


def test_the_bytes_are_those_of_the_ledger(found: tuple[Experiment, MeasuredCosts], run: RunFolder) -> None:
    _, costs = found
    lines = [json.loads(line) for line in run.rounds.ledger.read_text().splitlines()]
    for line in lines[:-1]:
        for entry in line["sites"].values():
            assert (entry["bytes_down"], entry["bytes_up"]) == (costs.bytes_down, costs.bytes_up)
    assert read_metrics(run).cost.trainable_parameters == costs.trainable_parameters


@pytest.mark.usefixtures("run")
def test_the_cache_is_as_large_as_said(found: tuple[Experiment, MeasuredCosts], plan: RunPlan) -> None:
    experiment, _ = found
    for site in plan.sites:
        # The cache also holds what other tests left there.
        entries: Counter[str] = Counter()
        for path in (experiment.cache / site.site / "prepared").glob("[!.]*"):
            entries[path.stem] += path.stat().st_size
        each = site.prepared_bytes / site.scans[0]
        assert len(entries) >= site.scans[0]
        assert all(0.95 * each < size <= each for size in entries.values())
        # The header of each file of features comes on top of what the plan counts.
        sizes = [path.stat().st_size for path in (experiment.cache / site.site / "features").glob("??/*.safetensors")]
        each = site.features_bytes / site.scans[0]
        assert sum(0 <= size - each < 1_500 for size in sizes) >= site.scans[0]


def test_the_splits_are_those_of_the_run(run: RunFolder, plan: RunPlan) -> None:
    for site in plan.sites:
        rows = run.site(site.site).splits.read_text().splitlines()[1:]
        counts = Counter(row.rpartition("\t")[2] for row in rows)
        assert site.scans == (len(rows), counts["train"], counts["validation"], counts["test"])


@pytest.mark.usefixtures("run")
def test_what_is_prepared_is_not_counted_again(found: tuple[Experiment, MeasuredCosts], plan: RunPlan) -> None:
    experiment, costs = found
    again = plan_with(experiment, costs, SiteScans(experiment))
    assert [site.to_prepare for site in again.sites] == [0, 0]
    site, every = again.sites[0], plan.sites[0].scans[0]
    assert site.first_seconds == pytest.approx(every * costs.encode_seconds)
    scans = SiteScans(experiment)
    scans.count_cached()
    assert scans.cached == {site.site: site.scans[0] for site in plan.sites}
    after_run = plan_with(experiment, costs, scans)
    assert (after_run.first_seconds, [site.first_seconds for site in after_run.sites]) == (0, [0, 0])
    text = " ".join(tables_of(after_run).split())
    assert "Scans still to prepare: 0 Time of check, before the run: about 12.0 s after preparing" in text
    assert "of which preparing 0.0 s, encoding 0.0 s" in text


def test_it_counts_scans_rounds_and_scores(plan: RunPlan) -> None:
    assert [site.scans[0] for site in plan.sites] == [14, 10]
    costs, site = plan.costs, plan.sites[0]
    _, train, validation, _ = site.scans
    assert costs.scored_states == 3  # received, sent, and without the site's own part
    scoring = 3 * validation * costs.forward_seconds
    assert site.round_seconds == pytest.approx(train * costs.step_seconds + scoring)
    assert plan.bytes_in_rounds == 2 * (costs.bytes_down + costs.bytes_up) + costs.state_bytes
    assert plan.bytes_per_site == plan.bytes_in_rounds + 2 * costs.state_bytes
    assert replace(plan, folds=5).run_folder_bytes == 5 * plan.run_folder_bytes


def test_time_and_memory_of_workers_follow_from_their_sites_by_hand(plan: RunPlan) -> None:
    """Two workers hold one site each: the slower of the two counts, and the pooled scans train in one process."""
    changes = {"workers": 2, "baselines": ("local", "centralized")}
    planned = replace(plan, experiment=plan.experiment.model_copy(update=changes))
    each = [2 * site.round_seconds + site.evaluate_seconds for site in plan.sites]
    expected = plan.prepare_seconds + plan.encode_seconds / 2 + 2 * max(each) + sum(each)
    assert planned.seconds_with_workers == pytest.approx(expected)
    assert planned.seconds == pytest.approx(plan.first_seconds + 3 * sum(each))
    assert "Time with 2 workers" in tables_of(planned)
    assert "workers" not in tables_of(plan)


def test_preparation_takes_all_cores_over_all_sites(
    found: tuple[Experiment, MeasuredCosts], small_experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes prepare the 24 scans of A and B, 3 s each, in 36 s; alone, each site has too few for two."""
    monkeypatch.setattr(prepare_all, "default_processes", lambda: 2)
    monkeypatch.setattr(prepare_all, "MIN_QUICK_SCANS", 20)
    experiment = Experiment.from_yaml(small_experiment.write(tmp_path / "run", cache=str(tmp_path / "cache")))
    scans = SiteScans(experiment)
    assert scans.seconds_per_scan > 0
    scans.seconds_per_scan = 3.0
    plan = plan_with(experiment, found[1], scans)
    assert (plan.prepare_seconds, plan.prepare_processes) == (36.0, 2)
    assert [site.prepare_seconds for site in plan.sites] == [42.0, 30.0]
    assert plan.first_seconds == pytest.approx(36 + sum(site.encode_seconds for site in plan.sites))
    assert plan.sites[0].first_seconds == pytest.approx(42 + plan.sites[0].encode_seconds)
    assert "Scans still to prepare: 24, 2 at once" in tables_of(plan)
    several = replace(plan, experiment=experiment.model_copy(update={"workers": 3}), folds=5)
    assert several.seconds_with_workers == pytest.approx(36 + (several.seconds - 36) / 3), "folds do not prepare again"


def tables_of(plan: RunPlan, details: bool = False) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(run_tables(plan, details))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_every_kind_of_message_is_described(plan: RunPlan) -> None:
    assert messages(plan).keys() == task_kinds().keys()


def test_the_tables_name_each_site_and_what_leaves(plan: RunPlan) -> None:
    text = tables_of(plan, details=True)
    assert "GPU memory per site: none used" in text
    for part in ("per site", "evaluate", "predictions_leave", "estimates"):
        assert part in text
    assert "map saliency" not in text, "this run sends no maps"


def test_it_ends_with_its_answer_and_the_long_table_is_asked_for(plan: RunPlan) -> None:
    lines = tables_of(replace(plan, warnings=["few steps"])).splitlines()
    assert lines[-1].rstrip() == "warning: few steps"
    assert any(line.startswith("Leaves each site: its update; counts, scores and averages; ") for line in lines)
    assert any(line.startswith("Disk: run folder ") for line in lines)
    assert not any("describe features" in line for line in lines)


def test_the_encoder_its_weights_and_who_is_included_are_named(plan: RunPlan) -> None:
    changed = plan.experiment.model_copy(update={"include": "age >= 60"})
    lines = [line.rstrip() for line in tables_of(replace(plan, experiment=changed)).splitlines()]
    assert "Encoder: tiny, random weights" in lines
    assert "Include: age >= 60" in lines
    assert "include" not in tables_of(plan)


def test_sites_with_long_names_are_told_apart(plan: RunPlan) -> None:
    names = [f"university-hospital-of-amsterdam-{city}" for city in ("north", "south")]
    sites = [replace(site, site=name) for site, name in zip(plan.sites, names, strict=True)]
    console = Console(width=80, file=io.StringIO())
    console.print(run_tables(replace(plan, sites=sites)))
    rows = "".join(line[1:].split(" ", 1)[0] for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]
    assert all(name in rows for name in names)


def test_what_leaves_after_the_test_follows_from_the_outcome(plan: RunPlan) -> None:
    assert "probability and label of each test scan" in messages(plan)["evaluate"].up
    for outcome, words in (
        (
            {"target": TargetSection(column="age", range=(40, 100), missing="error")},
            "true and predicted number of each",
        ),
        ({"labels": ClassMapping({name: (name,) for name in ("CN", "MCI", "AD")})}, "confusion matrix"),
    ):
        changed = plan.experiment.model_copy(update={"labels": None} | outcome)
        assert words in messages(replace(plan, experiment=changed))["evaluate"].up


def test_nothing_is_written(found: tuple[Experiment, MeasuredCosts], tmp_path: Path) -> None:
    experiment = found[0].model_copy(update={"output": tmp_path / "run"})
    SiteScans(experiment)
    assert not (tmp_path / "run").exists()


def test_a_mistake_in_the_labels_is_found_before_anything_is_measured(
    found: tuple[Experiment, MeasuredCosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Experiment] = []
    monkeypatch.setattr("fedtune3d.workflows.plan.measure_costs", measured.append)
    labels = replace(found[0].labels, negative=("cn",))
    with pytest.raises(InputError) as refused:
        plan_run(found[0].model_copy(update={"labels": labels}))
    assert not measured
    first, *lines = str(refused.value).splitlines()
    assert first == "labels.negative: no one at any site is negative; correct the labels"
    assert lines[0].startswith("A: nobody meets labels.negative: cn; the column diagnosis has AD (7), CN (7); did you ")
    assert lines[1].startswith("B: nobody meets labels.negative: cn; the column diagnosis has AD (5), CN (5); did you ")


def test_a_mistake_in_the_labels_of_all_sites_names_these(found: tuple[Experiment, MeasuredCosts]) -> None:
    labels = replace(found[0].labels, negative=("cn",))
    sites = tuple(site.model_copy(update={"labels": labels}) for site in found[0].sites)
    with pytest.raises(InputError) as refused:
        SiteScans(found[0].model_copy(update={"labels": None, "sites": sites}))
    first, line, _ = str(refused.value).splitlines()
    assert first.startswith("labels.negative of sites A, B: no one at any site is negative; ")
    assert line.startswith("A: nobody meets labels.negative of site A: cn; ")


@pytest.mark.parametrize("content", [None, b"<html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_weights_that_cannot_be_used_are_refused(
    found: tuple[Experiment, MeasuredCosts], tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "encoder.pth"
    if content is not None:
        path.write_bytes(content)
    model = found[0].model.model_copy(update={"weights": path})
    with pytest.raises(InputError, match=r"encoder.pth: "):
        plan_run(found[0].model_copy(update={"model": model}))


def test_differential_privacy_is_planned(
    small_experiment: Any, tmp_path: Path, found: tuple[Experiment, MeasuredCosts]
) -> None:
    """People in training, noise, affordable rounds and the measured price, before anything runs."""
    path = small_experiment.write(
        tmp_path / "run",
        privacy={"epsilon": 3.0},
        training={"rounds": 2, "class_weighted": False},
        sites=[
            {"name": name, "root": str(small_experiment.folder / name), "policy": {"max_epsilon": most}}
            for name, most in (("A", 3.0), ("B", 5.0))
        ],
    )
    experiment = Experiment.from_yaml(path)
    scans = SiteScans(experiment)
    assert scans.people == {"A": 8, "B": 6}
    private = tuple(
        cost
        for site in experiment.sites
        if (cost := forecast(experiment, site.name, site.policy, scans.people[site.name])) is not None
    )
    console = Console(width=200, file=io.StringIO())
    console.print(run_tables(replace(plan_with(experiment, found[1], scans), private=private), details=True))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "Differential privacy: epsilon 3, delta 0.001, per person, over all rounds" in text
    noise = f"{private[0].mechanism.noise_multiplier:.3g}"
    assert re.search(rf"A +8 +all +1 +{noise} +2 of 2", text)
    assert "Price in AUC: " in text
    assert "its new values with noise" in text


@pytest.mark.ci
def test_a_study_of_encoders_counts_each_grid_once_and_random_encoders_per_seed(
    found: tuple[Experiment, MeasuredCosts], small_experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two encoders share a grid; `tiny` is random and encoded for each seed, deepbet's weights once."""
    measured = []

    def measure_quickly(experiment: Experiment) -> MeasuredCosts:
        measured.append((experiment.model.encoder, experiment.model.weights))
        return replace(found[1], encode_seconds=10.0, feature_bytes=1000)

    monkeypatch.setattr(study_costs, "measure_costs", measure_quickly)
    values = {key: value for key, value in small_experiment.values.items() if key != "seed"}
    grids = {"encoder": "vit_b", "preparation": {"spacing_mm": 2.0}}
    axes = {"seeds": [0, 1, 2], "encoders": ["deepbet", "tiny", grids], "references": ["random"], "heads": ["linear"]}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(values | axes | {"model": {"head": "linear"}, "output": str(tmp_path / "out")}))
    study = Study.from_yaml(path)
    planner = plan_study._StudyPlanner(study, lambda text: None)
    plan = planner.run()
    assert [(stage.stage, stage.trials) for stage in plan.stages] == [
        ("encoders", 4 * 3),
        ("heads", 0),
        ("tunings", 0),
        ("rules", 0),
    ]
    assert sum("people of a class in validation" in text for text in plan.warnings) == 1
    assert not any(
        "random" in text for text in plan.warnings
    )  # the random weights of deepbet are the study's reference
    rounds = max(planner._plan(combination).federated_seconds for combination in study.possible())
    assert 12 * plan_study.TRIAL_SECONDS < plan.stages[0].seconds <= 12 * (plan_study.TRIAL_SECONDS + rounds)
    assert len(planner.scans) == 2
    grid, other = planner.scans.values()
    scans = sum(sum(split.scans for split in splits.values()) for splits in grid.splits.values())
    preparing = grid.all_prepare_seconds + other.all_prepare_seconds
    assert plan.first_seconds - preparing == pytest.approx(scans * 10 * (1 + 3 + 3 + 3))
    assert plan.cache_bytes == scans * (grid.entry_bytes + other.entry_bytes) + scans * 1000 * (1 + 3 + 3 + 3)
    assert measure_encoders(study, lambda text: None).keys() == {"deepbet", "tiny", "vit_b"}
    assert sorted(measured, key=str) == [
        ("deepbet", "packaged"),
        ("deepbet", "random"),
        ("tiny", "random"),
        ("vit_b", "random"),
    ]
