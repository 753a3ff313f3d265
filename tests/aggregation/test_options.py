"""Every option of every rule refuses what is out of range or of another type, in one line that names it."""

import re

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.registry import build_rule

BAD = [
    ("fedprox", "mu", -0.1, "a number of at least 0"),
    ("fedprox", "mu", "much", "a number of at least 0"),
    ("fedprox", "mu", float("nan"), "a number of at least 0"),
    ("fedprox", "mu", True, "a number of at least 0"),
    ("fedavgm", "rate", 0, "a number above 0"),
    ("fedavgm", "momentum", 1, "a number of at least 0 and below 1"),
    ("fedadam", "beta_1", 1.0, "a number of at least 0 and below 1"),
    ("fedadam", "beta_2", -1, "a number of at least 0 and below 1"),
    ("fedadam", "bias_correction", 1, "true or false"),
    ("fedyogi", "tau", 0.0, "a number above 0"),
    ("scaffold", "rate", float("inf"), "a number above 0"),
    ("qfedavg", "q", -1, "a number of at least 0"),
    ("qfedavg", "rate", None, "a number above 0"),
    ("trimmed_mean", "trim", 0.5, "a number of at least 0 and below 0.5"),
    ("krum", "malicious", 0.5, "a whole number of at least 0"),
    ("krum", "keep", 0, "a whole number of at least 1"),
    ("fedce", "mode", "minus", "one of plus, times"),
    ("fedce", "score", "f1", "one of auc, balanced_accuracy, loss"),
    ("fedce", "epsilon", 0, "a number above 0"),
    ("rate_my_lora", "rating", ["drop"], "one of drop, ratio, softmax"),
    ("rate_my_lora", "temperature", 0, "a number above 0"),
    ("rate_my_lora", "renormalise", "yes", "true or false"),
    ("rate_my_lora", "score", None, "one of auc, balanced_accuracy, loss"),
]


@pytest.mark.parametrize(("rule", "key", "value", "expected"), BAD)
def test_refused(rule, key, value, expected):
    with pytest.raises(InputError, match=re.escape(f"rule {rule}: {key}: expected {expected}, got {value!r}")):
        build_rule(rule, {key: value})
