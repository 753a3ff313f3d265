"""The section `evaluation` of an experiment."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from fedtune3d._utils.json_values import Json
from fedtune3d._utils.ranges import Number
from fedtune3d._utils.strict import StrictModel
from fedtune3d.evaluation.auc_estimate import AucInterval
from fedtune3d.evaluation.predictive_values import PREVALENCES

Prevalence = Annotated[Number, Field(gt=0, lt=1, allow_inf_nan=False)]
LATER_KEYS = ("recalibration", "prevalences")
"""Left out of the identity of an experiment where they have their defaults, so that it stays what it was."""


class EvaluationSection(StrictModel):
    """Settings of the evaluation on test scans (docs/evaluation.md).

    Attributes:
        auc_interval: How the 95% CI of an AUC is made: ``"score"``, which keeps its coverage with few people,
            or ``"bootstrap"``, as the published study asks for, which is too narrow with few people or at a high AUC.
        recalibration: ``"platt"``: the calibration is also given after Platt scaling on the validation scans of all
            sites together; ``"none"``.
        prevalences: Shares of positive people at which predictive values are given, besides the test set's own.
    """

    auc_interval: AucInterval = "score"
    recalibration: Literal["none", "platt"] = "none"
    prevalences: tuple[Prevalence, ...] = Field(default=PREVALENCES, max_length=10)

    @field_validator("prevalences")
    @classmethod
    def _prevalences_differ(cls, prevalences: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(prevalences)) < len(prevalences):
            raise ValueError("prevalences must differ")
        return prevalences

    def public(self) -> dict[str, Json]:
        """Return the section as JSON values, without later keys that have their defaults."""
        values = self.model_dump(mode="json")
        fields = type(self).model_fields
        return {
            key: value
            for key, value in values.items()
            if key not in LATER_KEYS or getattr(self, key) != fields[key].default
        }
