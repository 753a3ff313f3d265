"""Every number of a study's report, made again by other code from the predictions and ledgers of its trials.

Operating points stand in `test_study_operating.py`.
"""

import csv
import re
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from drawn_numbers import SIZES, draw_numbers, read_rows
from html_tables import table_of, tables_in
from ledger_editing import change_ledger
from other_statistics import Rows, Z, direct_delong, score_limits, score_variance
from scipy.stats import norm
from shared_folders import made_once
from statsmodels.stats.multitest import multipletests
from unrendered import unrendered_figures

from fedtune3d._utils.folders import RunFolder, StudyFolder
from fedtune3d._utils.state_dicts import save_state
from fedtune3d._utils.typed_json import to_json
from fedtune3d.config.study_results import CombinationRecord, StudyResults, VariantRecord
from fedtune3d.federation.ledger import LedgerLine, Validation, read_ledger
from fedtune3d.federation.round_state import BestState
from fedtune3d.report import write_study_report

pytestmark = pytest.mark.ci

SEEDS = (0, 1)
HEADS = {"linear": (0.74, (0.70, 0.76)), "conv_s": (0.84, (0.82, 0.81))}
"""Head → the AUC that is drawn for it, and the validation AUC of each seed."""
WITH_AUC = [site for site, (_, positives) in SIZES.items() if positives]


class Drawn(NamedTuple):
    """A study's folder, and the tables of its page."""

    folder: Path
    tables: dict[str, list[list[str]]]


@pytest.fixture(scope="module")
def study(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Two heads in two seeds, one of them with both baselines; the first head trained for three rounds less."""
    folder = (
        made_once(tmp_path_factory, "study-numbers", lambda place: write_study(place / "study", finished_run)) / "study"
    )
    return Drawn(folder, tables_in(folder / "report.html"))


def write_study(folder: Path, run: Path) -> None:
    for number, (head, (auc, validations)) in enumerate(HEADS.items()):
        methods = {"federated": auc} | ({} if head == "linear" else {"local": 0.7, "centralized": 0.86})
        for seed in SEEDS:
            trial = trial_of(folder, head, seed)
            shutil.copytree(run, trial.path)
            draw_numbers(trial.path, seed=10 * seed + number, methods=methods)
            save_state(trial.best_checkpoint, {}, to_json(BestState(Validation(3, validations[seed], 0.6), {})))
            if head == "linear":
                change_ledger(trial.path, lambda lines: [*lines[:7], lines[-1]])
    records = {head: record_of(head) for head in HEADS}
    StudyResults(
        name="numbers",
        design="stages",
        seeds=SEEDS,
        sites=tuple(SIZES),
        baselines=("local", "centralized"),
        chosen={"head": "conv_s", "tuning": "frozen", "rule": "fedavg"},
        stages={"heads": tuple(records.values()), "rules": (records["conv_s"],)},
        faults={},
    ).write(StudyFolder(folder))
    with unrendered_figures():
        write_study_report(folder)


def record_of(head: str) -> CombinationRecord:
    parts = [VariantRecord(part, part, "") for part in (head, "frozen", "fedavg")]
    trials = {seed: f"{head}-frozen-fedavg-seed{seed}" for seed in SEEDS}
    return CombinationRecord(f"{head}-frozen-fedavg", False, *parts, trials, statistics.mean(HEADS[head][1]))


def trial_of(folder: Path, head: str, seed: int) -> RunFolder:
    return StudyFolder(folder).trial(f"{head}-frozen-fedavg-seed{seed}")


def rows_of(study: Drawn, head: str, method: str, seed: int, site: str) -> Rows:
    return read_rows(trial_of(study.folder, head, seed).path, site, method, "test")


def variance_of(rows: Rows, site: str) -> Callable[[float], float]:
    auc, error = direct_delong(rows)
    return score_variance(auc, error**2, *SIZES[site])


def estimates(study: Drawn, head: str, method: str, site: str | None) -> list[tuple[float, float, float]]:
    """Per seed: AUC and score interval at a site, or of the mean over sites."""
    found = []
    for seed in SEEDS:
        sites = [site] if site is not None else WITH_AUC
        rows = {name: rows_of(study, head, method, seed, name) for name in sites}
        auc = float(np.mean([direct_delong(part)[0] for part in rows.values()]))
        found.append((auc, *score_limits(auc, [variance_of(part, name) for name, part in rows.items()])))
    return found


def shown(seeds: list[tuple[float, float, float]]) -> str:
    value, low, high = np.mean(seeds, axis=0)
    spread = np.std([auc for auc, _, _ in seeds], ddof=1)
    return f"{value:.2f} ± {spread:.2f} [{low:.2f}, {high:.2f}]"


@pytest.mark.parametrize(
    ("stage", "number", "head", "method"),
    [
        ("Heads", 0, "linear", "federated"),
        ("Heads", 1, "conv_s", "federated"),
        ("Aggregation rules", 0, "conv_s", "federated"),
        ("Aggregation rules", 1, "conv_s", "local"),
        ("Aggregation rules", 2, "conv_s", "centralized"),
    ],
)
def test_aucs_of_each_stage(study: Drawn, stage: str, number: int, head: str, method: str) -> None:
    row = table_of(study.tables, f"{stage}: test AUC")[number]
    validation = f"{statistics.mean(HEADS[head][1]):.3f}" if method == "federated" else "–"
    assert row[1] == validation
    for cell, site in zip(row[2:], SIZES, strict=False):
        if site not in WITH_AUC:
            assert cell == "not defined: one class only (all 7 test scans negative)"
            continue
        assert cell == shown(estimates(study, head, method, site))
    assert row[-1] == shown(estimates(study, head, method, None))


def test_the_answer(study: Drawn) -> None:
    """What was selected, its AUC, and the differences from the runner-up and the baselines on the same people."""
    page = re.sub(r"<[^>]*>", " ", (study.folder / "report.html").read_text(encoding="utf-8").partition("<main>")[0])
    page = " ".join(page.split())
    value, low, high = np.mean(estimates(study, "conv_s", "federated", None), axis=0)
    assert "Selected: CONV S, frozen, FedAvg" in page
    assert f"Test AUC {value:.2f} 95% CI {low:.2f}–{high:.2f} mean over 3 of 4 sites, 2 seeds" in page
    assert f"validation AUC ({statistics.mean(HEADS['conv_s'][1]):.3f})" in page
    for name, pair in zip(("runner-up", "local", "centralized"), PAIRS, strict=True):
        value, error = paired(study, pair[1], pair[0], SEEDS)
        low, high = value - Z * error, value + Z * error
        numbers = f"{signed(value)} (95% CI {low:+.2f} to {high:+.2f})".replace("-", "−")
        assert f"vs {name} {numbers}" in page


def signed(value: float) -> str:
    """An estimate with its sign, which one that rounds to 0 has not."""
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}"


def paired(
    study: Drawn, first: tuple[str, str], second: tuple[str, str], seeds: tuple[int, ...]
) -> tuple[float, float]:
    """Mean difference over sites and seeds, and its standard error with people as clusters over seeds, one by one."""
    values, variances = [], []
    for site in WITH_AUC:
        parts: dict[str, float] = {}
        differences = []
        for seed in seeds:
            psi = []
            for head, method in (first, second):
                rows = rows_of(study, head, method, seed, site)
                cases, controls = (rows.probabilities[rows.labels == label] for label in (1, 0))
                psi.append((cases[:, None] > controls) + 0.5 * (cases[:, None] == controls))
            apart = psi[0] - psi[1]
            differences.append(apart.mean())
            for axis, label in ((1, 1), (0, 0)):
                of_class, people = apart.mean(axis=axis) - apart.mean(), rows.people[rows.labels == label]
                clusters = len(set(people))
                for person in set(people):
                    share = of_class[people == person].sum() / len(of_class) * np.sqrt(clusters / (clusters - 1))
                    parts[person] = parts.get(person, 0.0) + share / len(seeds)
        values.append(np.mean(differences))
        variances.append(sum(part**2 for part in parts.values()))
    return float(np.mean(values)), float(np.sqrt(np.sum(variances))) / len(WITH_AUC)


def test_the_ranking(study: Drawn) -> None:
    """Best validation AUC first, each seed, and the difference from the selected one."""
    table = table_of(study.tables, "All combinations and baselines by validation AUC")
    order = [("conv_s", "federated"), ("linear", "federated"), ("conv_s", "local"), ("conv_s", "centralized")]
    assert len(table) == len(order)
    people = [sum(counts) for counts in zip(*SIZES.values(), strict=True)]
    for row, (head, method) in zip(table, order, strict=True):
        assert row[1] == f"{people[1]} + {people[0]}"
        assert row[2] == (f"{statistics.mean(HEADS[head][1]):.3f}" if method == "federated" else "–")
        assert row[3] == shown(estimates(study, head, method, None))
    assert table[0][5] == "–"
    for row, pair in zip(table[1:], PAIRS, strict=True):
        value, error = paired(study, *pair, SEEDS)
        text = f"{signed(value)} [{value - Z * error:+.2f}, {value + Z * error:+.2f}]"
        assert row[5] == text.replace("-", "−")


def test_every_seed_is_a_dot_at_its_place(study: Drawn) -> None:
    page = (study.folder / "report.html").read_text(encoding="utf-8")
    drawings = re.findall(r'<svg class="dots".*?</svg>', page, flags=re.DOTALL)
    assert len(drawings) == 4
    found = estimates(study, "conv_s", "federated", None)
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', drawings[0])]
    ((low, high),) = re.findall(r'<line x1="([\d.]+)" x2="([\d.]+)" y1="7"', drawings[0])
    (chance,) = re.findall(r'class="chance" x1="([\d.]+)"', drawings[0])
    scale = (places[0] - float(chance)) / (found[0][0] - 0.5)
    assert places[1] - float(chance) == pytest.approx(scale * (found[1][0] - 0.5), abs=0.2)
    for end, auc in zip((low, high), np.mean(found, axis=0)[1:], strict=True):
        assert float(end) - float(chance) == pytest.approx(scale * (auc - 0.5), abs=0.2)
    assert f'aria-label="seed 0: {found[0][0]:.3f}; seed 1: {found[1][0]:.3f}"' in drawings[0]


PAIRS = [
    (("linear", "federated"), ("conv_s", "federated")),
    (("conv_s", "local"), ("conv_s", "federated")),
    (("conv_s", "centralized"), ("conv_s", "federated")),
]


def test_paired_differences_over_all_seeds_and_per_seed(study: Drawn) -> None:
    table = iter(table_of(study.tables, "Test AUC minus that of the selected"))
    for name, seeds in (("all", SEEDS), ("0", (0,)), ("1", (1,))):
        expected = [paired(study, *pair, seeds) for pair in PAIRS]
        p_values = [2 * norm.sf(abs(value) / error) for value, error in expected]
        adjusted = multipletests(p_values, method="holm")[1]
        for (value, error), p_value, holm in zip(expected, p_values, adjusted, strict=True):
            row = next(table)
            limits = (value, value - Z * error, value + Z * error)
            text = "{} [{:+.2f}, {:+.2f}]".format(signed(value), *limits[1:]).replace("-", "−")
            assert row[3:5] == [name, text]
            assert row[5:7] == [p_text(p_value), p_text(holm)]
            scans = len(seeds) * sum(len(rows_of(study, "conv_s", "federated", 0, site).labels) for site in WITH_AUC)
            assert row[7] == str(scans)
    assert next(table, None) is None


def p_text(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def traffic(lines: list[LedgerLine]) -> int:
    return sum(entry.bytes_down + entry.bytes_up for line in lines for entry in line.sites.values())


def test_costs_are_those_of_the_ledgers(study: Drawn) -> None:
    table = table_of(study.tables, "Federated rounds; the time")
    for head, row in zip(HEADS, table, strict=True):
        ledgers = [read_ledger(trial_of(study.folder, head, seed).rounds.ledger) for seed in SEEDS]
        rounds = 7 if head == "linear" else 10
        assert row[0].startswith(f"{'Linear' if head == 'linear' else 'CONV S'}, frozen, FedAvg, {rounds} rounds, ")
        assert row[1] == str(rounds)
        assert row[2] == "1,703,042"
        assert row[3] == "13.6 MB"  # 6.8 MB each way
        assert row[4] == "910 MB"
        assert row[5] == "12.5 s"
        total = statistics.mean(map(traffic, ledgers))
        assert row[6] == f"{total / 1e6:.0f} MB"
        assert row[7] == shown(estimates(study, head, "federated", None))


def test_each_trial_has_its_validation_and_test_auc(study: Drawn) -> None:
    table = {row[0]: row for row in table_of(study.tables, "Every run of the study")}
    assert len(table) == 4
    for head, (_, validations) in HEADS.items():
        for seed, found in zip(SEEDS, estimates(study, head, "federated", None), strict=True):
            row = table[f"{head}-frozen-fedavg-seed{seed}"]
            value, low, high = found
            assert row[1:] == [
                str(seed),
                f"{validations[seed]:.3f}",
                f"{value:.2f} [{low:.2f}, {high:.2f}]",
                "finished",
            ]


def table_behind(study: Drawn, figure: str) -> list[dict[str, str]]:
    with (StudyFolder(study.folder).figures / f"{figure}.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_data_behind_the_figures(study: Drawn) -> None:
    for row in table_behind(study, "auc_by_head"):
        if row["auc"]:
            head = "linear" if row["variant"].startswith("Linear") else "conv_s"
            site = None if row["site"] == "Mean" else row["site"]
            value, low, high = np.mean(estimates(study, head, "federated", site), axis=0)
            assert [float(row[key]) for key in ("auc", "low", "high")] == pytest.approx([value, low, high], rel=1e-6)
    rows = table_behind(study, "paired_differences")
    for row, pair in zip(rows, PAIRS, strict=False):
        value, error = paired(study, *pair, SEEDS)
        assert float(row["difference"]) == pytest.approx(value)
        assert float(row["p"]) == pytest.approx(2 * norm.sf(abs(value) / error))
    for row, head in zip(table_behind(study, "trade_off"), HEADS, strict=True):
        ledgers = [read_ledger(trial_of(study.folder, head, seed).rounds.ledger) for seed in SEEDS]
        assert float(row["total_bytes"]) == statistics.mean(map(traffic, ledgers))
    weights = table_behind(study, "weights_by_rule")
    lines = read_ledger(trial_of(study.folder, "conv_s", 0).rounds.ledger)
    for row in weights:
        if row["seed"] == "0" and row["weight"]:
            entry = lines[int(row["round"]) - 1].sites[row["site"]]
            assert float(row["weight"]) == pytest.approx(entry.weight)
