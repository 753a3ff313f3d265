"""Every option of every rule refuses what is out of range or of another type, in one line that names it."""

import re

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.registry import build_rule

POSITIVE = "a number above 0 and at most 1,000,000,000"
NOT_NEGATIVE = "a number from 0 to 1,000,000,000"
BELOW_ONE = "a number from 0 to below 1"

BAD = [
    ("fedprox", "mu", -0.1, NOT_NEGATIVE),
    ("fedprox", "mu", "much", NOT_NEGATIVE),
    ("fedprox", "mu", float("nan"), NOT_NEGATIVE),
    ("fedprox", "mu", 2e9, NOT_NEGATIVE),
    ("fedprox", "mu", True, NOT_NEGATIVE),
    ("fedavgm", "rate", 0, POSITIVE),
    ("fedavgm", "momentum", 1, BELOW_ONE),
    ("fedadam", "beta_1", 1.0, BELOW_ONE),
    ("fedadam", "beta_2", -1, BELOW_ONE),
    ("fedadam", "bias_correction", 1, "true or false"),
    ("fedyogi", "tau", 0.0, POSITIVE),
    ("scaffold", "rate", float("inf"), POSITIVE),
    ("qfedavg", "q", -1, NOT_NEGATIVE),
    ("qfedavg", "rate", None, POSITIVE),
    ("trimmed_mean", "trim", 0.5, "a number from 0 to below 0.5"),
    ("krum", "malicious", 0.5, "a whole number from 0 to 100,000"),
    ("krum", "keep", 0, "a whole number from 1 to 100,000"),
    ("fedce", "mode", "minus", "one of plus, times"),
    ("fedce", "score", "f1", "one of auc, balanced_accuracy, loss"),
    ("fedce", "epsilon", 0, POSITIVE),
    ("rate_my_lora", "rating", ["drop"], "one of drop, ratio, softmax"),
    ("rate_my_lora", "temperature", 0, POSITIVE),
    ("rate_my_lora", "renormalise", "yes", "true or false"),
    ("rate_my_lora", "score", None, "one of auc, balanced_accuracy, loss"),
]


@pytest.mark.parametrize(("rule", "key", "value", "expected"), BAD)
def test_refused(rule, key, value, expected):
    with pytest.raises(InputError, match=re.escape(f"rule {rule}: {key}: expected {expected}, got {value!r}")):
        build_rule(rule, {key: value})


def test_a_number_of_hundreds_of_digits_is_refused_in_a_short_line() -> None:
    with pytest.raises(InputError, match="rule fedprox: mu: expected") as caught:
        build_rule("fedprox", {"mu": 10**400})
    assert len(str(caught.value)) < 200


def test_a_whole_number_stands_for_a_number() -> None:
    assert build_rule("fedprox", {"mu": 1}) == build_rule("fedprox", {"mu": 1.0})
