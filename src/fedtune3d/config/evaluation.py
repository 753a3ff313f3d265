"""The section `evaluation` of an experiment."""

from typing import Literal

from fedtune3d._utils.strict import StrictModel
from fedtune3d.evaluation.auc_estimate import AucInterval


class EvaluationSection(StrictModel):
    """Settings of the evaluation on test scans (docs/evaluation.md).

    Attributes:
        auc_interval: How the 95% CI of an AUC is made: ``"score"``, which keeps its coverage with few people,
            or ``"bootstrap"``, as the published study asks for, which is too narrow with few people or at a high AUC.
        recalibration: ``"platt"``: the calibration is also given after Platt scaling on the validation scans of all
            sites together; ``"none"``.
    """

    auc_interval: AucInterval = "score"
    recalibration: Literal["none", "platt"] = "none"
