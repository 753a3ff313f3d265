"""The AUC of all sites' test scans together."""

import numpy as np
import pytest

from fedtune3d.evaluation.auc_estimate import AucInterval
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.pooled_auc import pooled_auc, strata_by_site
from fedtune3d.evaluation.predictions import Predictions, participants_by_class
from fedtune3d.evaluation.scan_rows import pool


def site(labels: list[int], probabilities: list[float]) -> Predictions:
    names = tuple(f"sub-{row}" for row in range(len(labels)))
    return Predictions(names, ("",) * len(labels), np.array(labels), np.array(probabilities))


A = site([0, 0, 1], [0.1, 0.6, 0.9])
B = site([0, 1], [0.3, 0.2])


def estimate(*sites: Predictions, shared: bool, interval: AucInterval = "score") -> Estimate:
    counts = [ClassCounts.of(part).dense() for part in sites]
    people = [participants_by_class(part) for part in sites]
    total = tuple(sum(numbers) for numbers in zip(*people, strict=True))
    return pooled_auc(
        np.sum(counts, axis=0),
        (total[0], total[1]),
        pool(sites) if shared else None,
        strata_by_site(counts, people),
        interval,
        np.random.default_rng(0),
    )


@pytest.mark.parametrize("shared", [True, False])
def test_the_auc_by_hand(shared: bool) -> None:
    # Positives 0.9 and 0.2 against negatives 0.1, 0.6 and 0.3: three pairs and one pair of six are right.
    found = estimate(A, B, shared=shared)
    assert found.value == pytest.approx(4 / 6)
    assert found.mark == "few"
    assert ("from predictions" in found.method) == shared
    assert ("from counts on a grid" in found.method) != shared


def test_one_class_alone_has_no_auc() -> None:
    found = estimate(site([1, 1], [0.2, 0.3]), shared=True)
    assert (found.value, found.undefined) == (None, "one class only (all 2 test scans positive)")


def test_sites_with_few_people_of_a_class_share_a_stratum() -> None:
    counts = [np.array([[12, 0], [3, 0]]), np.array([[0, 4], [0, 5]])]
    strata = strata_by_site(counts, [(12, 3), (4, 5)])
    assert [(part.tolist(), people, label) for part, people, label in strata] == [
        ([12, 0], 12, 0),  # enough of its own
        ([0, 4], 4, 0),
        ([3, 5], 8, 1),  # the few of both sites
    ]


@pytest.mark.parametrize("shared", [True, False])
def test_many_people_get_an_interval_by_resampling_around_the_value(shared: bool) -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 30)
    drawn = site(labels.tolist(), (1 / (1 + np.exp(-rng.normal(labels, 1)))).tolist())
    found = estimate(drawn, drawn, shared=shared, interval="bootstrap")
    assert "percentile bootstrap by participant" in found.method
    value, low, high = found.limits or (0, 0, 0)
    assert 0.5 < low < value < high < 1
