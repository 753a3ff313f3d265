"""The rule, its options, and how it is applied to LoRA factors."""

from typing import Self

from pydantic import ConfigDict, model_validator

from fedtune3d._utils.strict import StrictModel
from fedtune3d.aggregation.contract import LoraMode, Rule
from fedtune3d.aggregation.registry import build_rule


class AggregationSection(StrictModel):
    """The aggregation rule, with the rule's own options.

    Attributes:
        rule: Name of the rule.
        lora: How the rule is applied to LoRA factors; null for the rule's own default.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    rule: str = "fedavg"
    lora: LoraMode | None = None

    @model_validator(mode="after")
    def _buildable(self) -> Self:
        self.build()
        return self

    @property
    def lora_mode(self) -> LoraMode:
        """How the rule is applied to LoRA factors."""
        return self.lora or self.build().lora_mode

    def build(self) -> Rule:
        """Create the rule with its options. Raises `InputError` if the rule is unknown or an option is invalid."""
        return build_rule(self.rule, self.model_extra or {})
