"""Run folders for the report: one that a run wrote, and one drawn here for the states that no quick run reaches."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ledger_editing import change_ledger, write_ledger
from run_editing import change_config
from scipy.stats import norm
from shared_folders import made_once
from unrendered import unrendered_figures

from fedtune3d._utils.folders import RunFolder, StudyFolder
from fedtune3d._utils.run_config import write_run_config
from fedtune3d._utils.state_dicts import save_state
from fedtune3d._utils.typed_json import to_json, write_typed
from fedtune3d.cohorts.flow import BadScan, ByClass, Counts, Flow, LeftOut, SiteFlow
from fedtune3d.cohorts.warnings import ReadingWarning
from fedtune3d.config.study_results import CombinationRecord, StudyResults, VariantRecord
from fedtune3d.evaluation import MethodMetrics, Predictions, Summary, combine, summarise
from fedtune3d.evaluation.against_baselines import against_baselines
from fedtune3d.evaluation.estimate import undefined
from fedtune3d.evaluation.membership import attack_membership
from fedtune3d.evaluation.metrics import ModelCost, RunMetrics, WeightsSource
from fedtune3d.federation.environment import Environment, TracedWeights
from fedtune3d.federation.leak_audit import Finding, LeakAudit
from fedtune3d.federation.ledger import LedgerLine, SiteEntry, Validation
from fedtune3d.federation.mean_maps import MapInfo, SiteMaps, write_maps
from fedtune3d.federation.round_state import BestState
from fedtune3d.federation.site.audit import PeopleByClass, PeopleOfClass
from fedtune3d.federation.tasks.describe_people import PeopleDescription
from fedtune3d.preparation.pictures import write_example
from fedtune3d.preparation.profiles import Profiles, compare_profiles, intensity_profile
from fedtune3d.report import write_report, write_study_report
from fedtune3d.report.figures.mean_saliency import STATES
from fedtune3d.training.scores import Scores

SIZES = {"Amsterdam": (14, 11), "Boston": (22, 18), "Graz": (5, 4), "Lagos": (7, 0)}
"""Negative and positive people in the test split of each site; the last has one class only."""


def draw_predictions(rng: np.random.Generator, negatives: int, positives: int, auc: float) -> Predictions:
    labels = np.r_[np.zeros(negatives, int), np.ones(positives, int)]
    scores = norm.cdf(rng.normal(labels * np.sqrt(2) * norm.ppf(auc), 1))
    return Predictions(tuple(f"sub-{row:03d}" for row in range(len(labels))), ("",) * len(labels), labels, scores)


def draw_ledger(rng: np.random.Generator, rounds: int) -> list[LedgerLine]:
    """The rounds and the last scoring; Graz misses round 3."""
    examples = {site: 2 * sum(size) for site, size in SIZES.items()}
    lines = []
    for round_ in range(1, rounds + 2):
        last = round_ == rounds + 1
        absent = {"Graz"} if round_ == 3 else set()
        total = sum(count for site, count in examples.items() if site not in absent)
        entries = {}
        for site, (_, positives) in SIZES.items():
            auc = float(np.clip(0.5 + 0.3 * (1 - np.exp(-round_ / 3)) + rng.normal(0, 0.04), 0, 1))
            loss = float(0.7 * np.exp(-round_ / 9))
            received = (
                Scores(auc, None, loss, 12, None) if positives else Scores(None, None, loss, 12, "one class only")
            )
            entry = SiteEntry(bytes_down=6_800_000, received=received, seconds=3.0, peak_memory_bytes=910_000_000)
            if site in absent:
                entry = replace(entry, fault="took longer than its deadline of 60 s")
            elif not last:
                loss = float(0.72 * np.exp(-round_ / 8) + rng.normal(0, 0.01))
                weight = examples[site] / total
                entry = replace(
                    entry, participated=True, weight=weight, bytes_up=6_800_000, examples=examples[site], loss=loss
                )
            entries[site] = entry
        aucs = [entry.received.auc for entry in entries.values() if entry.received and entry.received.auc is not None]
        validation = Validation(round_ - 1, float(np.mean(aucs)), 0.6)
        kind, rule = ("score", None) if last else ("train", "fedavg")
        lines.append(LedgerLine(min(round_, rounds), kind, 12.5, entries, validation, rule))
    return lines


def best_round(ledger: list[LedgerLine]) -> int:
    return max((line.validation for line in ledger[1:]), key=lambda validation: validation.mean_auc).state_round


def draw_metrics(rng: np.random.Generator, best_round: int) -> RunMetrics:
    training = np.random.default_rng(4)  # of its own: what is drawn from `rng` stays as it was
    methods: dict[str, MethodMetrics] = {}
    sent: dict[str, dict[str, Summary]] = {}
    tests: dict[str, Predictions] = {}
    for name, auc in (("federated", 0.82), ("local", 0.72), ("centralized", 0.85)):
        summaries = {}
        for site, size in SIZES.items():
            axes = {"sex": ["F" if row % 3 else "M" for row in range(sum(size))], "scanner": ["unknown"] * sum(size)}
            validation, test = draw_predictions(rng, 9, 8, auc), draw_predictions(rng, *size, auc)
            federated = tests.setdefault(site, test)
            summaries[site] = summarise(
                validation,
                test,
                1,
                share_predictions=True,
                axes=axes,
                federated=None if name == "federated" else federated,
                membership=attack_membership(draw_predictions(training, 20, 15, (1 + auc) / 2), test),
            )
        methods[name], sent[name] = combine(summaries, seed=1, shared_model=name != "local"), summaries
    return RunMetrics(
        version=4,
        experiment="demo",
        simulated=True,
        weights=WeightsSource("random", "0" * 64),
        head="conv_s",
        tuning="frozen",
        rule="fedavg",
        best_round=best_round,
        groups=None,
        cost=ModelCost(1_703_042, 90_000_000, 13_624_336),
        methods=methods,
        against=against_baselines(sent),
    )


def draw_brain() -> np.ndarray:
    """An ellipsoid with a bright patch on its right, front and top, so that a flipped picture is seen."""
    x, y, z = np.meshgrid(*[np.arange(128)] * 3, indexing="ij")
    inside = ((x - 64) / 45) ** 2 + ((y - 64) / 55) ** 2 + ((z - 64) / 42) ** 2 < 1
    texture = np.sin(x / 5) + np.cos(y / 7) + np.sin(z / 6)
    patch = (np.abs(x - 90) < 6) & (np.abs(y - 64) < 4) | (np.abs(y - 100) < 6) & (np.abs(x - 64) < 4)
    patch |= (np.abs(z - 90) < 5) & (np.abs(x - 64) < 4) & (np.abs(y - 64) < 4)
    return np.where(inside, texture + 6 * patch + 0.01, 0).astype(np.float16)


def draw_profiles(rng: np.random.Generator) -> Profiles:
    """The intensity profiles of two sites."""
    brains = {site: [rng.normal(shift, 1, 2_000).astype(np.float32)] for site, shift in (("Boston", 0), ("Graz", 0.3))}
    return compare_profiles(-4, 4, {site: (7, intensity_profile(own, -4, 4)) for site, own in brains.items()})


def draw_audit() -> LeakAudit:
    """The people at two sites, too few to tell of at the second; one warning."""
    known, few = PeopleOfClass(12, 7, (71.2, 5.1)), PeopleOfClass(None, None, None)
    age_auc = undefined("the age of fewer than 5 people of a class is known")
    described = {
        site: PeopleDescription(
            splits=dict.fromkeys(("train", "validation", "test", "all"), PeopleByClass((people, people))),
            age_auc=age_auc,
        )
        for site, people in (("Boston", known), ("Graz", few))
    }
    return LeakAudit((Finding("warning", "the site alone predicts the label"),), described)


def write_run(folder: Path) -> None:
    """Draw the folder of a finished run, with pictures of three sites; the half of the last site is not there."""
    rng = np.random.default_rng(3)
    config = {
        "name": "demo",
        "seed": 1,
        "sites": [
            {"name": site, "policy": {"predictions_leave": site != "Boston", "pictures_leave": True}} for site in SIZES
        ],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "vit_b", "weights": "random", "head": "conv_s"},
        "tuning": {"method": "frozen"},
        "training": {"rounds": 10},
        "aggregation": {"rule": "fedavg"},
        "explain": {"method": "integrated_gradients", "regions": {"ventricles": [4], "hippocampus": [17, 53]}},
    }
    environment = Environment(
        versions={"fedtune3d": "0.1.0", "torch": "2.13.0"},
        python="3.11.9",
        platform="Linux",
        device="cpu",
        threads=2,
        weights=TracedWeights("random", "0" * 64, None),
        simulated=True,
        started="2026-11-25T09:30:00+01:00",
    )
    run = RunFolder(folder)
    write_run_config(run.config, config)
    write_typed(run.environment, environment)
    ledger = draw_ledger(rng, 10)
    write_ledger(folder, ledger)
    write_typed(run.metrics, draw_metrics(rng, best_round(ledger)))
    brain = draw_brain()
    write_typed(run.flow, {site: draw_flow(site) for site in list(SIZES)[:3]})
    write_typed(run.profiles, draw_profiles(rng))
    write_typed(run.audit, draw_audit())
    write_saliency(run, rng)
    for site in list(SIZES)[:3]:
        write_site_half(folder / "sites" / site, brain)


def draw_flow(site: str) -> Flow:
    """Who was found and who is in which split; 12 were left out for their diagnosis, and one scan, but in Graz."""
    splits = {"train": (20, 15), "validation": (8, 6), "test": SIZES[site]}
    counts = {name: ByClass(tuple(Counts(count, count) for count in classes)) for name, classes in splits.items()}
    parts = list(counts.values())
    whole = ByClass(tuple(sum((part.of(label) for part in parts), Counts(0, 0)) for label in (0, 1)))
    diagnosis = LeftOut("neither positive nor negative", "diagnosis MCI", Counts(12, 12))
    fault = LeftOut("scan at fault", "expected a whole NIfTI file", Counts(1, 1))
    left_out = (diagnosis,) if site == "Graz" else (diagnosis, fault)
    return Flow(
        found=sum((step.counts for step in left_out), whole.total),
        left_out=left_out,
        included=whole.total,
        several_classes=Counts(0, 0),
        splits={"all": whole} | counts,
    )


def write_saliency(folder: RunFolder, rng: np.random.Generator) -> None:
    """Mean maps of two sites, the second of which hardly changes; the others have none."""
    for site, similarity in (("Amsterdam", 0.12), ("Boston", 0.91)):
        maps = {state: torch.from_numpy(rng.normal(size=(32, 32, 32)).astype(np.float32)) for state in STATES}
        info = MapInfo(
            method="integrated_gradients",
            scans=9,
            in_template=9,
            size=128,
            spacing_mm=1.5,
            place_mm=6.0,
            similarity=similarity,
            volumes={"hippocampus": 0.006, "ventricles": 0.02},
            shares={
                "trained": {"hippocampus": (0.0124, 0.0031), "ventricles": (0.051, 0.01)},
                "random": {"hippocampus": (0.0071, 0.002), "ventricles": (0.03, 0.01)},
            },
        )
        write_maps(SiteMaps(site, maps, info), folder)
    for site in ("Graz", "Lagos"):
        why = "fewer than 5 positive people in the test set (policy.min_per_class)"
        write_maps(SiteMaps(site, {}, MapInfo("integrated_gradients", why)), folder)


def write_site_half(folder: Path, brain: np.ndarray) -> None:
    """What stays at a site, as far as a report shows it."""
    site = folder.name
    bad = () if site == "Graz" else (BadScan(f"sub-{site}09", "truncated"),)
    warnings = tuple(
        ReadingWarning(f"values of {column} treated as missing", count, f"{column}: {count} values, got 'x'")
        for column, count in (("age", 30), ("acq_time", 2))
        if site == "Boston"
    )
    write_example(brain, folder / "examples" / "0.png")
    for number in (1, 2, 3):
        shutil.copy(folder / "examples" / "0.png", folder / "examples" / f"{number}.png")
    write_typed(folder / "flow.json", SiteFlow(draw_flow(folder.name), bad, warnings))


def stop_after_four_rounds(folder: Path) -> None:
    """Make a finished run one in progress."""
    (folder / "metrics.json").unlink()
    change_ledger(folder, lambda lines: lines[:4])


def let_pictures_leave(folder: Path, sites: tuple[str, ...]) -> None:
    """Let pictures leave these sites only."""

    def change(config: dict[str, Any]) -> None:
        for section in config["sites"]:
            section["policy"]["pictures_leave"] = section["name"] in sites

    change_config(folder, change)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn run that all tests copy, its numbers by the real `summarise` and `combine`.

    It has what no run of seconds has: ten rounds of which a site missed one, test sets that give intervals, a site with
    one class, counts that are held back, saliency maps. `small_run` is a folder that a run wrote.
    """
    return made_once(tmp_path_factory, "drawn-run", lambda folder: write_run(folder / "run")) / "run"


@pytest.fixture(scope="session")
def finished_page(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the drawn run, in its folder; no test may change it."""

    def write(folder: Path) -> None:
        shutil.copytree(finished_run, folder / "run")
        write_report(folder / "run")

    return made_once(tmp_path_factory, "drawn-page", write) / "run" / "report.html"


@pytest.fixture
def _unrendered() -> Iterator[None]:
    """For tests of what a page says: see `unrendered`."""
    with unrendered_figures():
        yield


@pytest.fixture(params=["drawn", "written by a run"])
def any_page(request: pytest.FixtureRequest) -> Path:
    """The page of the drawn run, and that of a run; no test may change them."""
    if request.param == "drawn":
        return Path(request.getfixturevalue("finished_page"))
    return Path(request.getfixturevalue("small_run").report)


@pytest.fixture
def make_run(finished_run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a run folder of the test's own: `make_run(finished=…, pictures=…)`; pictures leave the sites named."""

    def make(finished: bool = True, pictures: tuple[str, ...] = tuple(SIZES)) -> Path:
        folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
        let_pictures_leave(folder, pictures)
        if not finished:
            stop_after_four_rounds(folder)
        return folder

    return make


def write_study(folder: Path, run: Path) -> None:
    """Write the folder of a finished study whose trials are copies of a run with numbers of their own."""
    stages = {stage: tuple(combination(*parts) for parts in listed) for stage, listed in STUDY_STAGES.items()}
    results = StudyResults(
        name="demo-study",
        design="stages",
        seeds=(0,),
        sites=tuple(SIZES),
        baselines=("local", "centralized"),
        chosen={"head": "conv_s", "tuning": "frozen", "rule": "fedavg"},
        stages=stages,
        faults={},
    )
    trials = {record.trials[0]: record for records in stages.values() for record in records}
    for number, (trial, record) in enumerate(trials.items()):
        write_trial(StudyFolder(folder).trial(trial), run, record, number)
    results.write(StudyFolder(folder))


def combination(head: str, tuning: str, rule: str, validation: float) -> CombinationRecord:
    reference = head == "ncc"
    name = head if reference else f"{head}-{tuning}-{rule}"
    parts = [VariantRecord(part, part, "") for part in (head, tuning, rule)]
    return CombinationRecord(name, reference, *parts, {0: f"{name}-seed0"}, validation)


def write_trial(folder: RunFolder, run: Path, record: CombinationRecord, number: int) -> None:
    shutil.copytree(run, folder.path)
    metrics = draw_metrics(np.random.default_rng(number), best_round=3)
    if record.name != "conv_s-frozen-fedavg":
        metrics = replace(metrics, methods={"federated": metrics.federated})
    metrics = replace(metrics, head=record.head.name, tuning=record.tuning.name, rule=record.rule.name)
    write_typed(folder.metrics, metrics)
    assert record.validation is not None
    save_state(folder.best_checkpoint, {}, to_json(BestState(Validation(3, record.validation, 0.6), {})))


STUDY_STAGES = {
    "heads": [
        ("linear", "frozen", "fedavg", 0.71),
        ("conv_s", "frozen", "fedavg", 0.82),
        ("ncc", "frozen", "ncc", 0.66),
    ],
    "tunings": [("conv_s", "frozen", "fedavg", 0.82), ("conv_s", "lora", "fedavg", 0.79)],
    "rules": [("conv_s", "frozen", "fedavg", 0.82), ("conv_s", "frozen", "median", 0.8)],
}


@pytest.fixture(scope="session")
def finished_study(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one finished study, with its report and one of its trials'."""

    def write(folder: Path) -> None:
        write_study(folder / "study", finished_run)
        write_report(folder / "study" / "trials" / "linear-frozen-fedavg-seed0")
        write_study_report(folder / "study")

    return made_once(tmp_path_factory, "study", write) / "study"
