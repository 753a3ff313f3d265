import json
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

from fedtune3d._utils.typed_json import to_json
from fedtune3d.evaluation.groups import AxisCounts, age_band, combine_groups, summarise_groups
from fedtune3d.evaluation.predictions import Predictions


def test_age_bands() -> None:
    assert [age_band(age) for age in (None, 59.9, 60, 69.9, 70, 80, 91)] == [
        "unknown",
        "under 60",
        "60–69",
        "60–69",
        "70–79",
        "80 and over",
        "80 and over",
    ]


def summary_of(one_scan_each: Callable, sizes: dict[str, tuple[int, int]], min_per_class: int) -> AxisCounts:
    """Summarise a site with so many negatives and positives in each group."""
    names = [name for name, size in sizes.items() for _ in range(sum(size))]
    labels = np.concatenate([[0] * negatives + [1] * positives for negatives, positives in sizes.values()])
    test = one_scan_each(labels, np.random.default_rng(0).uniform(size=len(labels)))
    return summarise_groups(test, {"sex": names}, min_per_class)["sex"]


def test_a_small_group_is_held_back(one_scan_each: Callable) -> None:
    got = summary_of(one_scan_each, {"F": (9, 8), "M": (6, 5), "unknown": (5, 4), "X": (5, 5)}, min_per_class=5)
    assert sorted(got.groups) == ["F", "M"]  # and the smallest of the others, X: else `unknown` is what is left over
    assert got.held_back == 2
    assert "p0" not in json.dumps(to_json(got))


def test_what_is_left_over_must_be_large_enough(one_scan_each: Callable) -> None:
    alone = summary_of(one_scan_each, {"F": (9, 8), "M": (6, 4)}, min_per_class=5)
    assert (alone.groups, alone.held_back) == ({}, 2)
    all_of_them = summary_of(one_scan_each, {"F": (9, 8), "M": (6, 5)}, min_per_class=5)
    assert (sorted(all_of_them.groups), all_of_them.held_back) == (["F", "M"], 0)
    two_small = summary_of(one_scan_each, {"F": (9, 8), "M": (4, 3), "X": (3, 3)}, min_per_class=5)
    assert (sorted(two_small.groups), two_small.held_back) == (["F"], 2)  # 7 and 6 together


def test_groups_add_up_over_sites_and_gaps_are_to_the_rest() -> None:
    rng = np.random.default_rng(3)
    rows = {"label": [], "probability": [], "sex": []}
    summaries = []
    for site in range(3):
        labels, sex = rng.integers(0, 2, 120), rng.choice(["F", "M"], 120)
        probabilities = 1 / (1 + np.exp(-rng.normal(1.5 * labels * (sex == "F"), 1)))
        names = tuple(f"{site}-{row}" for row in range(120))
        test = Predictions(names, ("",) * 120, labels, probabilities)
        summaries.append(summarise_groups(test, {"sex": list(sex)}, 5)["sex"])
        for key, values in zip(rows, (labels, probabilities, sex), strict=True):
            rows[key] = np.concatenate([rows[key], values])
    got = combine_groups(summaries, threshold=0.5)
    women, men = (rows["sex"] == "F"), (rows["sex"] == "M")
    auc = {name: roc_auc_score(rows["label"][of], rows["probability"][of]) for name, of in (("F", women), ("M", men))}
    assert got["F"].scans == women.sum()
    assert got["F"].auc.value == pytest.approx(auc["F"], abs=0.005)
    assert got["F"].gaps.auc.value == pytest.approx(auc["F"] - auc["M"], abs=0.01)
    assert got["F"].gaps.auc.low > 0
    assert got["M"].gaps.auc.high == pytest.approx(-got["F"].gaps.auc.low)
    found = rows["probability"] >= 0.5
    hits = [
        (int((found & of & (rows["label"] == 1)).sum()), int((of & (rows["label"] == 1)).sum())) for of in (women, men)
    ]
    limits = confint_proportions_2indep(*hits[0], *hits[1], method="newcomb", compare="diff")
    gap = got["F"].gaps.sensitivity
    assert (gap.low, gap.high) == pytest.approx(limits)


def test_one_group_has_no_gap_and_few_people_are_marked(one_scan_each: Callable) -> None:
    got = combine_groups([summary_of(one_scan_each, {"F": (6, 6)}, min_per_class=5)], None)["F"]
    assert got.gaps.auc.undefined == "no other group"
    assert (got.auc.mark, got.participants_by_class) == ("few", (6, 6))
    assert got.sensitivity.undefined.startswith("no threshold")
