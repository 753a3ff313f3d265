"""A site's statistics within what its counts allow: no honest summary is refused, and no forged one passes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedtune3d.evaluation.auc_estimate import BOOTSTRAP, AucInterval
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.combination import combine
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.grid import EDGES, grid_counts
from fedtune3d.evaluation.groups import AxisCounts, GroupCounts
from fedtune3d.evaluation.plausibility import SCORE_METHODS, brier_bounds, require_plausible
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import Summary, TestSummary, summarise
from fedtune3d.federation.privacy.bins import coarse_counting


def predictions(rng: np.random.Generator, people: int, scans: int, spread: float) -> Predictions:
    """Scans of people, some with several, whose logits differ by class."""
    owners = np.sort(rng.integers(people, size=scans))
    labels = (owners % 2).astype(np.int8)
    logits = spread * rng.normal(size=scans) + labels * rng.uniform(0, 3)
    names = tuple(f"sub-{owner:03d}" for owner in owners)
    return Predictions(names, tuple(map(str, range(scans))), labels, 1 / (1 + np.exp(-logits)))


def summary(seed: int, share: bool = False, interval: AucInterval = "score", min_people: int = 1) -> Summary:
    """An honest summary of a site of random size."""
    rng = np.random.default_rng(seed)
    people = int(rng.integers(1, 60))
    test = predictions(rng, people, int(rng.integers(people, 3 * people + 2)), float(rng.choice([0.0, 0.1, 1.0, 8.0])))
    sex = ["F" if name.endswith(("0", "3", "7")) else "M" for name in test.participants]
    validation, options = (
        predictions(rng, 6, 9, 1.0),
        {
            "axes": {"sex": sex},
            "auc_interval": interval,
            "count": coarse_counting(min_people),
        },
    )
    return summarise(validation, test, seed, share_predictions=share, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("share", "interval", "min_people"),
    [(True, "score", 1), (False, "score", 1), (False, "score", 5), (False, "bootstrap", 1), (False, "bootstrap", 5)],
)
def test_no_honest_summary_is_refused(share: bool, interval: AucInterval, min_people: int) -> None:
    made = [summary(seed, share, interval, min_people) for seed in range(60)]
    honest = [CheckedSummary.of("A", one) for one in made if _enough_people(one.test, min_people)]
    assert len(honest) > 20
    assert [refusal(checked) for checked in honest] == [None] * len(honest)


def _enough_people(test: TestSummary, min_people: int) -> bool:
    """Whether a site with this minimum would answer with its test scans."""
    return all(people == 0 or people >= min_people for people in test.participants_by_class)


def refusal(checked: CheckedSummary) -> str | None:
    """Why a summary is refused; None where it is not."""
    try:
        require_plausible(checked)
    except ValueError as error:
        return str(error)
    return None


def large() -> Summary:
    """An honest summary of 60 people, whose interval is a bootstrap's."""
    rng = np.random.default_rng(5)
    validation, test = predictions(rng, 20, 20, 1.0), predictions(rng, 60, 60, 1.0)
    found = summarise(validation, test, 5, share_predictions=False, auc_interval="bootstrap")
    assert found.test.auc.method == BOOTSTRAP
    return found


def _auc(value: float | None, low: float | None, high: float | None) -> Callable[[TestSummary], TestSummary]:
    return lambda test: replace(test, auc=replace(test.auc, value=value, low=low, high=high))


def _brier(value: float) -> Callable[[TestSummary], TestSummary]:
    brier = Estimate(value, value, value, "normal", None, None)
    return lambda test: replace(test, calibration=replace(test.calibration, brier=brier))


def _error(value: float) -> Callable[[TestSummary], TestSummary]:
    return lambda test: replace(
        test, calibration=replace(test.calibration, error=replace(test.calibration.error, value=value))
    )


def _groups(axis: str, people: tuple[int, int], scans: int) -> Callable[[TestSummary], TestSummary]:
    counts = ClassCounts({"700": scans}, {})
    return lambda test: replace(test, groups={axis: AxisCounts({"F": GroupCounts(people, counts)}, 0)})


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (_auc(7.0, 6.0, 8.0), "expected an interval from 0 to 1"),
        (_auc(0.999, 0.99, 1.0), "where the counts give"),
        (_auc(0.0, 0.0, 1.0), "where the counts give"),
        (lambda test: replace(_auc(None, None, None)(test), auc_variance_ratio=None), "neither a number"),
        (_auc(0.5, None, None), "neither a number"),
        (lambda test: replace(test, auc=undefined("I will not"), auc_variance_ratio=None), "no AUC, although"),
        (lambda test: _auc(test.auc.value, test.auc.value, test.auc.value)(test), "an interval of"),
        (lambda test: _auc(test.auc.value, 0.0, 1.0)(test), "an interval of"),
        (lambda test: replace(test, auc=replace(test.auc, method="trust me")), "by no method known here"),
        (
            lambda test: replace(test, auc_delong=replace(test.auc_delong, low=0.9, high=0.1)),
            "expected an interval from 0 to 1",
        ),
        (lambda test: replace(test, auc_variance_ratio=1e6), "a ratio of the AUC's variances of 1e"),
        (lambda test: replace(test, auc_variance_ratio=1e-6), "a ratio of the AUC's variances of 1e-06"),
        (lambda test: replace(test, auc=replace(test.auc, method=SCORE_METHODS[0])), "follows from its variance"),
        (lambda test: replace(test, participants=10**6), "people, of the classes"),
        (lambda test: replace(test, participants_by_class=(10**6, 30)), "people of a class with"),
        (
            lambda test: replace(test, participants_by_class=(1, test.participants_by_class[1])),
            "people, of the classes",
        ),
        (_brier(0.0), "a Brier score of"),
        (_brier(1.5), "a Brier score of"),
        (_error(3.0), "calibration error"),
        (_groups("income", (1, 0), 1), "groups: expected up to"),
        (_groups("sex", (1, 0), 10**6), "more scans than the test set"),
        (_groups("sex", (9, 0), 1), "more people than scans"),
    ],
)
def test_a_forged_summary_is_refused(forge: Callable[[TestSummary], TestSummary], why: str) -> None:
    honest = large()
    with pytest.raises(ValueError, match=why):
        require_plausible(CheckedSummary.of("A", replace(honest, test=forge(honest.test))))


def test_an_accepted_false_statistic_changes_no_other_number() -> None:
    honest, others = large(), {"A": summary(1), "B": summary(2)}
    assert honest.test.auc.low is not None
    lied = replace(honest.test, auc=replace(honest.test.auc, low=honest.test.auc.low - 0.02))
    lied = replace(lied, calibration=replace(lied.calibration, slope=Estimate(9.0, 8.0, 10.0, "normal", None, None)))
    require_plausible(CheckedSummary.of("C", replace(honest, test=lied)))
    told = combine(others | {"C": replace(honest, test=lied)}, 0)
    true = combine(others | {"C": honest}, 0)
    assert told.sites["C"] != true.sites["C"]
    assert {site: told.sites[site] for site in others} == {site: true.sites[site] for site in others}
    assert (told.pooled, told.threshold, told.groups) == (true.pooled, true.threshold, true.groups)


def test_the_brier_score_lies_within_the_bins() -> None:
    probabilities = np.array([0.1, 0.5, 0.93])
    counts = np.stack([grid_counts(probabilities[:1]), grid_counts(probabilities[1:])])
    low, high = brier_bounds(counts)
    assert low <= (0.1**2 + 0.5**2 + 0.07**2) / 3 <= high
    assert low == pytest.approx((0.0**2 + (1 - EDGES[np.searchsorted(EDGES, 0.93) - 1]) ** 2 + 0.0**2) / 3, abs=0.01)
    assert brier_bounds(np.zeros_like(counts)) == (0.0, 1.0)
