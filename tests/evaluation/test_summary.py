import json
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.auc_interval import AucVariance, mean_auc_interval, newcombe
from fedtune3d.evaluation.combination import combine
from fedtune3d.evaluation.grid import EDGES
from fedtune3d.evaluation.intervals import mean_interval
from fedtune3d.evaluation.metrics import MethodMetrics
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import SharedPredictions, Summary, summarise

EMPTY = Predictions((), (), np.array([]), np.array([]))


def drawn(rng: np.random.Generator, negatives: int, positives: int, auc: float, scans_each: int = 1) -> Predictions:
    labels = np.repeat(np.r_[np.zeros(negatives, int), np.ones(positives, int)], scans_each)
    scores = rng.normal(labels * np.sqrt(2) * norm.ppf(auc), 1)
    names = np.repeat([f"sub-{row:03d}" for row in range(negatives + positives)], scans_each)
    sessions = [str(row % scans_each) for row in range(len(labels))]
    return Predictions(tuple(names), tuple(sessions), labels, norm.cdf(scores))


def two_sites(share: bool, sizes: tuple[tuple[int, int], ...] = ((30, 20), (25, 40))) -> tuple[dict, dict]:
    """Test predictions and summaries, by site."""
    rng = np.random.default_rng(5)
    tests, summaries = {}, {}
    for site, (negatives, positives) in zip("AB", sizes, strict=True):
        validation, test = drawn(rng, 20, 15, 0.8), drawn(rng, negatives, positives, 0.8)
        tests[site], summaries[site] = test, summarise(validation, test, seed=1, share_predictions=share)
    return tests, summaries


def pooled_rows(tests: dict) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([t.labels for t in tests.values()]), np.concatenate([t.probabilities for t in tests.values()])


def test_a_summary_is_json_without_names() -> None:
    for share in (True, False):
        _, summaries = two_sites(share)
        text = json.dumps(to_json(summaries), allow_nan=False)
        assert "sub-" not in text
        assert {site: from_json(Summary, sent) for site, sent in json.loads(text).items()} == summaries
    assert summaries["A"].test.predictions is None


def test_shared_predictions_keep_people_together_but_not_the_order_of_their_names() -> None:
    test = Predictions(("a", "z", "a"), ("1", "", "2"), np.array([1, 0, 1]), np.array([0.9, 0.1, 0.5]))
    shared = summarise(EMPTY, test, seed=1, share_predictions=True).test.predictions
    assert shared == SharedPredictions(participants=(0, 1, 1), labels=(0, 1, 1), probabilities=(0.1, 0.5, 0.9))


@pytest.mark.parametrize("share", [True, False])
def test_combined_numbers_are_those_of_the_predictions(share: bool) -> None:
    tests, summaries = two_sites(share)
    metrics = combine(summaries, seed=2)
    assert from_json(MethodMetrics, json.loads(json.dumps(to_json(metrics), allow_nan=False))) == metrics
    assert metrics.threshold in EDGES
    for site, test in tests.items():
        got = metrics.sites[site]
        called = test.probabilities >= metrics.threshold
        assert got.auc.value == pytest.approx(roc_auc_score(test.labels, test.probabilities))
        assert got.sensitivity.value == called[test.labels == 1].mean()
        assert got.specificity.value == (~called)[test.labels == 0].mean()
        assert (got.participants, got.scans, got.positives) == (len(test), len(test), test.labels.sum())
    labels, probabilities = pooled_rows(tests)
    pooled = metrics.pooled
    assert pooled.auc.value == pytest.approx(roc_auc_score(labels, probabilities), abs=0 if share else 0.005)
    assert pooled.sensitivity.value == (probabilities >= metrics.threshold)[labels == 1].mean()
    assert ("from predictions" in pooled.auc.method) is share
    assert ("grid" in pooled.auc.method) is not share
    assert pooled.scans == 115
    values = [metrics.sites[site].auc.value for site in "AB"]
    assert metrics.mean_auc.value == pytest.approx(np.mean(values))
    assert metrics.mean_auc.sites == ("A", "B")


def test_grid_and_predictions_give_nearly_one_interval() -> None:
    with_rows, without = (combine(two_sites(share)[1], seed=2).pooled.auc for share in (True, False))
    assert with_rows.low == pytest.approx(without.low, abs=0.015)
    assert with_rows.high == pytest.approx(without.high, abs=0.015)


def test_one_site_that_withholds_is_enough_for_the_grid() -> None:
    _, open_ones = two_sites(True)
    _, closed_ones = two_sites(False)
    metrics = combine({"A": open_ones["A"], "B": closed_ones["B"]}, seed=2)
    assert "grid" in metrics.pooled.auc.method


def test_site_order_does_not_matter() -> None:
    _, summaries = two_sites(True)
    assert combine(summaries, seed=2) == combine(dict(reversed(summaries.items())), seed=2)


def test_local_models_have_their_own_thresholds_and_no_pool() -> None:
    _, summaries = two_sites(True)
    metrics = combine(summaries, seed=2, shared_model=False)
    assert metrics.threshold is metrics.pooled is None
    alone = {site: combine({site: summaries[site]}, seed=2).threshold for site in "AB"}
    assert {site: metrics.sites[site].threshold for site in "AB"} == alone


def test_interval_of_the_mean_is_made_of_the_sites_variances() -> None:
    summaries = two_sites(False, ((30, 20), (4, 5)))[1]
    metrics = combine(summaries, seed=2)
    estimates = [metrics.sites[site].auc for site in "AB"]
    variances = [AucVariance(summaries["A"].test.auc_variance_ratio, 30, 20)]
    variances.append(AucVariance(summaries["B"].test.auc_variance_ratio, 4, 5))
    expected = mean_auc_interval([estimate.value for estimate in estimates], variances)
    assert (metrics.mean_auc.low, metrics.mean_auc.high) == pytest.approx(expected)
    assert [e.mark for e in estimates] == [None, "few"]
    assert metrics.mean_auc.mark == "few"
    assert metrics.pooled.auc.mark is None


def test_the_study_s_bootstrap_is_selectable_and_named() -> None:
    rng = np.random.default_rng(4)
    tests = {site: drawn(rng, 30, 20, 0.8) for site in "AB"}
    summaries = {site: summarise(EMPTY, test, 1, True, auc_interval="bootstrap") for site, test in tests.items()}
    metrics = combine(summaries, seed=2, auc_interval="bootstrap")
    limits = [metrics.sites[site].auc.limits for site in "AB"]
    assert metrics.mean_auc.limits[1:] == pytest.approx(mean_interval(*zip(*limits, strict=True)))
    for estimate in (metrics.sites["A"].auc, metrics.pooled.auc):
        assert estimate.method.startswith("percentile bootstrap by participant within class")
    assert "MOVER" in metrics.mean_auc.method


def test_many_tiny_sites_do_not_feign_certainty() -> None:
    """Twelve sites with one person of each class: resampled site by site, the interval would have no width."""
    rng = np.random.default_rng(6)
    for share in (True, False):
        summaries = {f"s{site:02d}": summarise(EMPTY, drawn(rng, 1, 1, 0.8), 1, share) for site in range(12)}
        auc = combine(summaries, seed=2).pooled.auc
        low, high = newcombe(auc.value, 12, 12)
        assert 0.6 * (high - low) < auc.high - auc.low < 1.4 * (high - low)


def test_one_class_sites_and_empty_sites_say_why() -> None:
    rng = np.random.default_rng(6)
    summaries = {
        "A": summarise(drawn(rng, 9, 9, 0.8), drawn(rng, 12, 12, 0.8), 1, True),
        "one": summarise(drawn(rng, 3, 0, 0.8), drawn(rng, 2, 0, 0.8), 1, True),
        "none": summarise(EMPTY, EMPTY, 1, False),
    }
    metrics = combine(summaries, seed=2)
    assert "all 2 test scans negative" in metrics.sites["one"].auc.undefined
    assert metrics.sites["one"].specificity.value is not None
    assert metrics.sites["one"].sensitivity.undefined == "no positive test scans"
    assert metrics.sites["none"].auc.undefined == "no test scans, or too few for the policy"
    assert metrics.mean_auc.sites == ("A",)
    assert "from predictions" in metrics.pooled.auc.method  # a site without scans withholds nothing


def test_nothing_at_all_is_undefined_not_an_error() -> None:
    metrics = combine({"A": summarise(EMPTY, EMPTY, 1, True)}, seed=2)
    assert metrics.threshold is None
    assert metrics.mean_auc.undefined == "no site has an AUC"
    assert metrics.pooled.auc.undefined == "no test scans, or too few for the policy"


def test_several_scans_a_person_widen_the_grid_interval_to_the_people() -> None:
    rng = np.random.default_rng(9)
    test = drawn(rng, 20, 20, 0.75, scans_each=5)
    auc = combine({"A": summarise(EMPTY, test, 1, False)}, seed=2).pooled.auc
    single = combine({"A": summarise(EMPTY, drawn(rng, 20, 20, 0.75), 1, False)}, seed=2).pooled.auc
    assert auc.high - auc.low == pytest.approx(single.high - single.low, rel=0.35)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: s.update(version=99), r"site A: expected version 4 .* got version 99 .*same fedtune3d"),
        (lambda s: s["grid"].update(logit_limit=5), r"site A: expected version 4 on Grid\(logit_limit=10"),
        (lambda s: s["test"].update(scans=3), r"site A: 3 scans, 20 positive, but counts of 50 and 20"),
        (lambda s: s["test"]["counts"]["negative"].update({"9999": 1}), r"site A: bin 9999"),
        (lambda s: s["test"].update(auc_variance_ratio=-1.0), r"site A: an AUC of 0.* with a variance ratio of -1"),
        (lambda s: s["test"].update(auc_variance_ratio=None), r"site A: an AUC of 0.* with a variance ratio of None"),
        (lambda s: s["test"]["predictions"]["labels"].reverse(), r"site A: the predictions and the counts disagree"),
    ],
)
def test_a_damaged_summary_is_refused_by_site(damage: Callable[[dict], object], message: str) -> None:
    _, summaries = two_sites(True)
    sent = to_json(summaries["A"])
    damage(sent)
    with pytest.raises(InputError, match=message):
        combine(summaries | {"A": from_json(Summary, sent)}, seed=2)


@pytest.mark.slow
def test_mean_over_small_sites_is_covered() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(500):
        sizes = ((4, 6), (7, 5), (12, 12), (9, 4))
        summaries = {
            str(site): summarise(EMPTY, drawn(rng, *size, 0.8), int(rng.integers(1 << 30)), False)
            for site, size in enumerate(sizes)
        }
        mean = combine(summaries, seed=1).mean_auc
        covered += mean.low <= 0.8 <= mean.high
    print(f"coverage of the mean AUC over four small sites: {covered / 500:.3f}")
    assert 0.92 <= covered / 500 <= 0.99
