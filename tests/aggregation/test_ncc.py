"""Class sums and counts are added, so the centres are those of all scans."""

import pytest
import torch

from fedtune3d.aggregation.contract import Memory, Update
from fedtune3d.aggregation.registry import build_rule

STATE = {"sums": torch.zeros(2, 2, dtype=torch.float64), "counts": torch.zeros(2, dtype=torch.int64)}


def update(site: str, sums: list[list[float]], counts: list[int]) -> Update:
    state = {"sums": torch.tensor(sums, dtype=torch.float64), "counts": torch.tensor(counts)}
    return Update(site, sum(counts), {"state": state}.__getitem__, {})


def test_sums_and_counts_are_added_and_every_scan_counts_once() -> None:
    rule = build_rule("ncc")
    # Site B has one class only.
    updates = [update("B", [[0, 0], [6, 9]], [0, 3]), update("A", [[1, 2], [2, 3]], [1, 1])]
    result = rule.aggregate(STATE, updates, Memory())
    assert result.state["sums"].tolist() == [[1, 2], [8, 12]]
    assert result.state["counts"].tolist() == [1, 4]
    centres = result.state["sums"] / result.state["counts"][:, None]
    assert centres[1].tolist() == [2, 3]
    assert result.weights is None


def test_an_update_of_another_shape_is_refused_by_the_site_s_name() -> None:
    with pytest.raises(ValueError, match="site A: sums: expected shape"):
        build_rule("ncc").aggregate(STATE, [update("A", [[1.0]], [1, 1])], Memory())
