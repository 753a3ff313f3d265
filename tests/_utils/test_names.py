import pytest

from fedtune3d._utils.names import did_you_mean, known_name, unknown_name


def test_the_nearest_name_is_suggested_whatever_the_case() -> None:
    assert did_you_mean("FedAgv", ["scaffold", "fedavg"]) == ", did you mean 'fedavg'?"
    assert did_you_mean("cdr_global", ["CDR_global", "age"]) == ", did you mean 'CDR_global'?"
    assert did_you_mean("xyz", ["scaffold", "fedavg"]) == ""


def test_an_unknown_name_lists_the_known_ones() -> None:
    assert unknown_name("rule", "xyz", ["b", "a"]) == "unknown rule 'xyz' (known: b, a)"
    assert known_name("a", ["b", "a"]) == "a"
    with pytest.raises(ValueError, match=r"^unknown name 'xyz' \(known: a, b\)$"):
        known_name("xyz", ["b", "a"])
