"""Statements cannot pass for one another, and a sum that tells too much is named."""

import pytest

from fedtune3d.federation.privacy.secure_aggregation.messages import Attempt, digest, why_unsafe

FIRST = Attempt("ee" * 32, 1, 1)


def test_statements_differ_in_kind_and_in_every_value() -> None:
    statements = [
        digest("keys", FIRST, "A", "bc"),
        digest("keys", FIRST, "Ab", "c"),
        digest("survivors", FIRST, "A", "bc"),
        digest("keys", Attempt("ee" * 32, 2, 1), "A", "bc"),
        digest("keys", FIRST, ["A", "bc"]),
    ]
    assert len(set(statements)) == len(statements)


@pytest.mark.parametrize(
    ("weights", "line"),
    [
        ({"A": 1.0, "B": 1.0, "C": 1.0}, None),
        ({"A": 3.0, "B": 1.0, "C": 1.0}, None),  # 60% exactly
        ({"A": 3.1, "B": 1.0, "C": 1.0}, "A would have 61% of the sum"),
        ({"A": 1.0, "B": 1.0}, "a sum of 2 sites"),
        ({"A": 1.0, "B": 1.0, "C": 0.0}, "a sum of 2 sites"),
        ({"A": 0.6, "B": 0.399, "C": 0.001}, "a sum of 2 sites"),  # B could subtract its own and have A's
        ({"A": 0.5, "B": 0.5, "C": 1e-12}, "a sum of 2 sites"),  # nothing is left of it in fixed point
        ({"A": 0.55, "B": 0.4, "C": 0.05}, None),
        ({}, "a sum of 0 sites"),
    ],
)
def test_a_sum_that_tells_too_much(weights: dict[str, float], line: str | None) -> None:
    why = why_unsafe(weights, 0.6)
    assert why is None if line is None else why is not None and why.startswith(line)
