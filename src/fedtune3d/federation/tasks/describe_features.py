"""Describe the features of the training scans, with which `predict` recognises out-of-distribution scans."""

from typing import Annotated, ClassVar

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import NOTHING, AtLeast, Declaration, Reveals
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.feature_statistics import MIN_SCANS, FeatureStatistics
from fedtune3d.models.pooling import pool_features
from fedtune3d.training.fitting import head_inputs

STATISTICS = "statistics"


class DescribeFeatures(Instruction):
    """Describe the training scans' features, computed with the state in part ``"state"``."""

    kind: ClassVar[str] = "describe_features"

    @property
    def tested_namespace(self) -> str | None:
        """The federation's."""
        return ""


class FeatureDescription(Payload):
    """Mean and covariance of the features are in part `STATISTICS`; if there are none, `why` says why."""

    why: Annotated[str | None, NOTHING] = None


def describe_features(site: SiteData, task: Task) -> Answer:
    """Describe the features of the site's training scans."""
    model, scans = site.process_model.assembled.model, site.scans("train")
    if not isinstance(model, Classifier):
        return Answer(site.name, FeatureDescription(why="the model has no encoder separate from its head"))
    policy = site.section.policy
    minimum = max(policy.min_people, policy.min_per_class)
    if min(site.people_per_class("train")) < minimum or len(scans) < MIN_SCANS:
        return Answer(site.name, FeatureDescription(why="too few training scans"))
    site.write_received(task)
    statistics = FeatureStatistics.of(pool_features(head_inputs(model, scans)))
    return Answer(site.name, FeatureDescription(), {STATISTICS: statistics.as_state()})


KIND = TaskKind(
    DescribeFeatures,
    FeatureDescription,
    describe_features,
    {STATISTICS: Declaration(Reveals.STATISTIC, AtLeast("min_per_class"), "mean and covariance of features")},
    max_tensor_bytes=512 << 20,  # a covariance of 8,000 features in float64
    contents="mean and covariance of image features over the training scans",
)
