"""Statistics: from predictions to metrics with confidence intervals."""

from fedtune3d.evaluation.combination import combine
from fedtune3d.evaluation.delong import delong_estimate
from fedtune3d.evaluation.mean_over_sites import mean_over_sites
from fedtune3d.evaluation.metrics import MethodMetrics, RunMetrics, read_metrics
from fedtune3d.evaluation.multiplicity import holm
from fedtune3d.evaluation.over_seeds import over_seeds
from fedtune3d.evaluation.paired import combine_comparisons, paired_delong
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import Summary, summarise

__all__ = [
    "MethodMetrics",
    "Predictions",
    "RunMetrics",
    "Summary",
    "combine",
    "combine_comparisons",
    "delong_estimate",
    "holm",
    "mean_over_sites",
    "over_seeds",
    "paired_delong",
    "read_metrics",
    "summarise",
]
