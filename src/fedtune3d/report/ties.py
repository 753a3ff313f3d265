"""Ties: two models that are alike for every test person, whose difference has therefore no interval."""

from dataclasses import dataclass

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.paired import SAME_RANKING
from fedtune3d.evaluation.regression.paired import EQUAL


@dataclass(frozen=True)
class _Words:
    """Names of a tie in a sentence and in a table."""

    sentence: str
    cell: str


_TIES = {
    SAME_RANKING: _Words("both rank the test people identically", "tie (same ranking)"),
    EQUAL: _Words("both are equally far off for every test person", "tie (same errors)"),
}


def tie(difference: Estimate) -> str:
    """Say that two models are alike for every test person; empty if they are not."""
    words = _TIES.get(difference.undefined or "")
    return words.sentence if words else ""


def tie_cell(difference: Estimate) -> str:
    """Say the same in a table's cell; empty if they are not alike."""
    words = _TIES.get(difference.undefined or "")
    return words.cell if words else ""
