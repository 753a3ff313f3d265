"""Aggregation rules, which turn the updates of a round into the next state: one file per rule."""

from fedtune3d.aggregation.contract import Aggregate, Memory, Rule, RuleContext, Update
from fedtune3d.aggregation.lora import LoraRule
from fedtune3d.aggregation.registry import build_rule, rules
from fedtune3d.aggregation.site_step import SiteStep

__all__ = ["Aggregate", "LoraRule", "Memory", "Rule", "RuleContext", "SiteStep", "Update", "build_rule", "rules"]
