from typing import Any

import pytest

from fedtune3d.report.run_statistics import grid_note

GROUPS = {"groups": {"F": {}, "M": {}}, "held_back": 0}


def metrics(error: float | None, method: str, axes: tuple[str, ...]) -> dict[str, Any]:
    pooled = {"grid_error": error, "auc": {"method": method}}
    return {"methods": {"federated": {"pooled": pooled, "groups": dict.fromkeys(axes, GROUPS)}}}


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
def test_a_grid_too_coarse_is_said_where_it_counts(
    error: float | None, method: str, axes: tuple[str, ...], shown: bool
) -> None:
    note = grid_note(metrics(error, method, axes))
    assert ("may err by up to 0.12" in note) == shown
