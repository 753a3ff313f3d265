"""The table of groups; the others are shown by the runs of `workflows/test_outcomes.py`."""

from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.subgroups import SubgroupAxis, SubgroupMetrics
from fedtune3d.report.outcome_tables import group_tables


def test_groups_have_their_measure_their_gap_and_what_was_held_back() -> None:
    women = SubgroupMetrics(30, 31, defined(4.2, (3.1, 5.6), "m", False), defined(-0.4, (-1.5, 0.7), "m", True))
    men = SubgroupMetrics(12, 12, undefined("one class only"), undefined("one class only"))
    axes = {
        "scanner": SubgroupAxis({"1.5 T": men}, 0),  # alone, so nothing to compare
        "sex": SubgroupAxis({"F": women, "M": men}, 1),
    }
    (table,) = group_tables(axes, "MAE (years)")
    assert table.header == ("Group", "People", "Scans", "MAE (years)", "Minus all other groups")
    assert table.rows == [
        ("Sex: F", "30", "31", "4.20 [3.10, 5.60]", "−0.40 [−1.50, +0.70] few"),
        ("Sex: M", "12", "12", "not defined: one class only", "not defined: one class only"),
        ("Sex: held back by sites", "–", "–", "1 group", "–"),
    ]
    assert group_tables({"scanner": axes["scanner"]}, "MAE") == []
