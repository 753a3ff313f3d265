from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.estimate import defined
from fedtune3d.evaluation.groups import GroupMeasures
from fedtune3d.evaluation.metrics import RunMetrics, read_metrics
from fedtune3d.report.run_statistics import (
    delong_rows,
    gap_sentence,
    grid_note,
    group_rows,
    groups_title,
    held_back_sentence,
    statistic_methods,
)


@pytest.fixture
def metrics(make_run: Callable[..., Path]) -> RunMetrics:
    return read_metrics(RunFolder(make_run()).metrics)


def with_pooled_auc(metrics: RunMetrics, error: float | None, method: str, axes: tuple[str, ...]) -> RunMetrics:
    """The same metrics with another error of the grid, and groups along these axes only."""
    federated = metrics.federated
    assert federated.pooled is not None
    assert federated.groups is not None
    pooled = replace(federated.pooled, grid_error=error, auc=replace(federated.pooled.auc, method=method))
    groups = dict.fromkeys(axes, federated.groups["sex"])
    changed = replace(federated, pooled=pooled, groups=groups)
    return replace(metrics, methods={**metrics.methods, "federated": changed})


@pytest.mark.parametrize(
    ("error", "method", "axes", "shown"),
    [
        (0.12, "bootstrap; from predictions", ("sex", "site"), True),
        (0.12, "bootstrap; from counts on a grid, AUC error at most 0.1", ("site",), True),
        (0.12, "bootstrap; from predictions", ("site",), False),  # a site's AUC is of the predictions themselves
        (0.001, "bootstrap; from counts on a grid, AUC error at most 0.001", ("sex",), False),
        (None, "", (), False),
    ],
)
def test_a_coarse_grid_is_noted_where_it_matters(
    metrics: RunMetrics, error: float | None, method: str, axes: tuple[str, ...], shown: bool
) -> None:
    note = grid_note(with_pooled_auc(metrics, error, method, axes))
    assert ("may be off by up to 0.12" in note) == shown


def test_each_site_and_all_scans_pooled_have_delongs_interval(metrics: RunMetrics) -> None:
    rows = {row.name: row for row in delong_rows(metrics)}
    assert list(rows) == ["Amsterdam", "Boston", "Graz", "Lagos", "Pooled"]
    assert rows["Boston"].estimates == [method.sites["Boston"].auc_delong for method in metrics.methods.values()]
    assert [estimate is None for estimate in rows["Pooled"].estimates] == [False, True, False]  # local models


def test_groups_stand_in_order_with_positives_first(metrics: RunMetrics) -> None:
    rows = group_rows(metrics)
    assert [(row.axis, row.name) for row in rows[:2]] == [("Sex", "F"), ("Sex", "M")]
    negatives, positives = rows[0].metrics.participants_by_class
    assert rows[0].people == f"{positives} + {negatives}"
    assert rows[0].metrics.gaps.auc.method in statistic_methods(metrics)


def test_differences_between_a_group_and_the_rest_are_in_a_sentence(metrics: RunMetrics) -> None:
    changed = with_pooled_auc(metrics, None, "", ("site",))
    assert gap_sentence(changed).startswith(
        "The 95% CI excludes 0 in 4 of the 6 differences between a group and the rest"
    )
    assert "for their number): F: AUC +" in gap_sentence(changed)
    by_sex = with_pooled_auc(metrics, None, "", ("sex",))
    assert "for their number): sex F: AUC +" in gap_sentence(by_sex)
    assert changed.federated.groups is not None
    axis = changed.federated.groups["site"]
    near = defined(0.01, (-0.1, 0.1), "m", few=False)
    groups = {name: replace(group, gaps=GroupMeasures(near, near, near)) for name, group in axis.groups.items()}
    federated = replace(changed.federated, groups={"site": replace(axis, groups=groups)})
    assert gap_sentence(replace(changed, methods={"federated": federated})) == (
        "None of the 6 differences between a group and the rest has a 95% CI that excludes 0 (not adjusted for their "
        "number)."
    )


def test_sites_are_not_called_groups(metrics: RunMetrics) -> None:
    assert groups_title(with_pooled_auc(metrics, None, "", ("site",))) == "2 sites"
    assert groups_title(with_pooled_auc(metrics, None, "", ("sex", "site"))) == "4 groups (2 by sex, 2 by site)"


def test_groups_that_are_held_back_have_a_reason(metrics: RunMetrics) -> None:
    federated = metrics.federated
    assert federated.groups is not None
    groups = {name: replace(axis, held_back=8 * (name == "sex")) for name, axis in federated.groups.items()}
    changed = replace(metrics, methods={"federated": replace(federated, groups=groups)})
    assert held_back_sentence(changed, [5, 5]) == (
        "Groups too small to be shown: 8 by sex (at each site a group needs 5 people of each class, "
        "policy.min_per_class)."
    )
    assert "a group needs 5 to 10 people of each class" in held_back_sentence(changed, [5, 10])
    assert held_back_sentence(with_pooled_auc(metrics, None, "", ()), [5]) == ""
