"""The operating points of a study, made again from the 2×2 tables of the sites in its trials' folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from html_tables import table_of, tables_in
from statsmodels.stats.proportion import proportion_confint

from fedtune3d.report.study_contents import read_study
from fedtune3d.report.study_operating import operating_rows, people_tested

pytestmark = pytest.mark.ci

CELLS = ("true_positives", "false_negatives", "true_negatives", "false_positives")


def sites_of(study: Path, trial: str, method: str) -> dict[str, dict]:
    metrics = json.loads((study / "trials" / trial / "metrics.json").read_text())
    return metrics["methods"][method]["sites"]


def test_each_combination_stands_once_per_seed(finished_study: Path) -> None:
    rows = operating_rows(read_study(finished_study))
    assert [(entry.row.key, entry.seed) for entry in rows] == [
        ("linear-frozen-fedavg", 0),
        ("conv_s-frozen-fedavg", 0),
        ("ncc", 0),
        ("conv_s-lora-fedavg", 0),
        ("conv_s-frozen-median", 0),
        ("centralized", 0),
    ]


def test_the_page_shows_the_sums_of_the_sites_tables(finished_study: Path) -> None:
    table = table_of(tables_in(finished_study / "report.html"), "All test scans of a trial at the threshold")
    rows = operating_rows(read_study(finished_study))
    assert len(table) == len(rows)
    for cells, entry in zip(table, rows, strict=True):
        sites = sites_of(finished_study, entry.row.trials[0], entry.row.method)
        hits, misses, rejections, alarms = (sum(site["confusion"][name] for site in sites.values()) for name in CELLS)
        people = np.sum([site["participants_by_class"] for site in sites.values()], axis=0)
        assert cells[0] == entry.row.full_title
        assert cells[1:3] == ["0", f"{hits + misses} + {rejections + alarms}"]
        fractions = [
            (hits, hits + misses, people[1]),
            (rejections, rejections + alarms, people[0]),
            (hits + rejections, hits + misses + rejections + alarms, sum(people)),
        ]
        for cell, (count, total, n) in zip(cells[4:7], fractions, strict=True):
            low, high = proportion_confint(count / total * n, n, method="wilson")
            assert cell == f"{count / total:.2f} [{low:.2f}, {high:.2f}] ({count}/{total})"
        for cell, right, called in zip(
            cells[7:], (hits, rejections), (hits + alarms, rejections + misses), strict=True
        ):
            assert cell.startswith(f"{right / called:.2f} [")
            assert cell.endswith(f"({right}/{called})")


def test_the_chosen_has_predictive_values_at_each_prevalence(finished_study: Path) -> None:
    contents = read_study(finished_study)
    table = table_of(tables_in(finished_study / "report.html"), "Predictive values of the selected")
    assert contents.answer is not None
    sites = sites_of(finished_study, contents.answer.trials[0], "federated")
    hits, misses, rejections, alarms = (sum(site["confusion"][name] for site in sites.values()) for name in CELLS)
    sensitivity, specificity = hits / (hits + misses), rejections / (rejections + alarms)
    share = (hits + misses) / (hits + misses + rejections + alarms)
    assert [row[0] for row in table] == [f"{100 * share:.3g}% (this test set)", "5%", "20%", "50%"]
    for row, prevalence in zip(table, (share, 0.05, 0.2, 0.5), strict=True):
        right, wrong = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
        assert row[2].startswith(f"{right / (right + wrong):.2f} [")
        right, wrong = (1 - prevalence) * specificity, prevalence * (1 - sensitivity)
        assert row[3].startswith(f"{right / (right + wrong):.2f} [")


def test_the_stages_name_the_people_tested(finished_study: Path) -> None:
    people = people_tested(read_study(finished_study))
    assert people == {"Amsterdam": "11 + 14", "Boston": "18 + 22", "Graz": "4 + 5", "Lagos": "0 + 7"}
    page = " ".join((finished_study / "report.html").read_text(encoding="utf-8").split())
    assert page.count('Boston <span class="state">(18 + 22)</span>') == 3
