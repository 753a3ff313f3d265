"""How updates become the next state: one file a rule."""

from fedtune3d.aggregation.contract import Aggregate, LocalPlan, Memory, Rule, RuleContext, Update
from fedtune3d.aggregation.lora import LoraRule
from fedtune3d.aggregation.registry import build_rule, rules

__all__ = ["Aggregate", "LocalPlan", "LoraRule", "Memory", "Rule", "RuleContext", "Update", "build_rule", "rules"]
