"""One contract suite over every rule in the folder, as they are and over LoRA factors in each mode."""

import pytest

from fedtune3d.aggregation.lora import MODES, LoraRule
from fedtune3d.aggregation.registry import build_rule, rules
from fedtune3d.testing import RULE_CHECKS, check_rule

VARIANTS = {
    "fedadam-paper": ("fedadam", {"bias_correction": False}),
    "fedce-lagged": ("fedce", {"lagged": True}),
    "fedce-times": ("fedce", {"mode": "times"}),
    "krum-multi": ("krum", {"keep": 3}),
    "qfedavg-site_norms": ("qfedavg", {"site_norms": True}),
    "rate_my_lora-ratio": ("rate_my_lora", {"rating": "ratio"}),
    "rate_my_lora-softmax": ("rate_my_lora", {"rating": "softmax"}),
}
EVERY = {name: (name, {}) for name in rules()} | VARIANTS


@pytest.mark.parametrize("check", RULE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", EVERY)
def test_rule(variant, check):
    name, options = EVERY[variant]
    check(build_rule(name, options))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", rules())
def test_rule_over_lora_factors(name, mode):
    rule = build_rule(name)
    if mode in ("exact", "restart") and not rule.in_product_space:
        pytest.skip(f"{name} is refused in product space")
    check_rule(LoraRule(rule, mode, scaling=2.0))


def test_all_rules_are_found():
    assert set(rules()) >= {
        *("fedadam", "fedavg", "fedavgm", "fedbn", "fedce", "fedprox", "fedyogi", "krum", "median"),
        *("qfedavg", "rate_my_lora", "scaffold", "simpleavg", "trimmed_mean"),
    }
