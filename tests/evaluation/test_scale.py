import numpy as np
from sklearn.metrics import roc_auc_score

from fedtune3d.evaluation.auc import auc_from_counts
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.scale import finest_counts
from fedtune3d.evaluation.summary import summarise


def crowded(seed: int, name: str) -> Predictions:
    """30 scans whose probabilities all lie in one bin or two of the grid."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 15)
    people = tuple(f"{name}{index}" for index in range(30))
    return Predictions(people, ("",) * 30, labels, 0.5 + 1e-4 * rng.normal(labels, 1))


def read(test: Predictions, share: bool) -> CheckedSummary:
    nobody = Predictions((), (), np.empty(0, int), np.empty(0))
    return CheckedSummary.of("a", summarise(nobody, test, 1, share))


def test_ranks_are_exact_where_predictions_left() -> None:
    sites = [crowded(1, "a"), crowded(2, "b")]
    counts, source = finest_counts([read(site, True) for site in sites])
    assert source == "from predictions"
    assert [part.sum(axis=1).tolist() for part in counts] == [[15, 15], [15, 15]]
    labels, values = (np.concatenate([getattr(site, key) for site in sites]) for key in ("labels", "probabilities"))
    assert auc_from_counts(*np.sum(counts, axis=0)) == roc_auc_score(labels, values)


def test_one_site_that_keeps_its_own_puts_all_on_the_grid() -> None:
    summaries = [read(crowded(1, "a"), True), read(crowded(2, "b"), False)]
    counts, source = finest_counts(summaries)
    assert source == "from counts on a grid"
    assert all(part is summary.test_counts for part, summary in zip(counts, summaries, strict=True))


def test_nobody_is_no_fault() -> None:
    assert finest_counts([])[0] == []
