"""Limits on what the server may see of the sites' updates, and on what these may reveal about a person."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.ranges import Number, Positive
from fedtune3d._utils.strict import StrictModel
from fedtune3d.aggregation.sums import on_sums
from fedtune3d.config.aggregation import AggregationSection
from fedtune3d.config.participation import ParticipationSection, drawn_sites
from fedtune3d.models.assembly import NCC
from fedtune3d.training.settings import TrainingSettings

MIN_SITES = 3
"""Fewest sites behind a secure sum: of two, each could tell the other's update from the sum."""
MaxShare = Annotated[Number, Field(gt=1 / MIN_SITES, le=1, allow_inf_nan=False)]
"""With a third or less, no three sites could share the sum."""
VISIBLE_BASELINES = {
    "local": "shows the server each site's own model",
    "leave_one_site_out": "adds up the same updates with and without a site, which tells that site's",
}

Epsilon = Annotated[Number, Field(ge=0.01, le=50, allow_inf_nan=False)]
Delta = Annotated[Number, Field(ge=1e-12, le=0.1, allow_inf_nan=False)]
Sampling = Literal["full_batch", "poisson"]
EPSILON_KEYS = ("epsilon", "delta", "clip", "unit", "sampling")
"""Keys that mean nothing without `epsilon`, and then are no part of an experiment's identity."""


@dataclass(frozen=True)
class DifferentialPrivacy:
    """The guarantee that each site gives each person in its training set, over all rounds of an experiment.

    Attributes:
        epsilon: ε over all rounds.
        delta: δ, below 1 / (people in training) at every site.
        clip: Upper limit of the 2-norm of a person's gradient, over all of that person's scans.
        sampling: Who takes part in a step: everyone, or each person by an independent draw.
    """

    epsilon: float
    delta: float
    clip: float
    sampling: Sampling


class PrivacySection(StrictModel):
    """The protection of updates; the same at all sites of an experiment.

    Attributes:
        secure_aggregation: Whether sites mask their updates, so that the server learns only their sum.
        max_share: Upper limit of a site's share of that sum. Greater weights of a rule are cut to it, and the others
            take the rest (`aggregation.capping`).
        epsilon: ε of differential privacy for each person in training; None to train without.
        delta: δ.
        clip: Upper limit of the 2-norm of a person's gradient; takes the place of `training.clip_norm`.
        unit: Whose data ε is about. People who share a group count as one.
        sampling: Who takes part in a step. ``"full_batch"``: everyone, `training.local_epochs` steps per round.
            ``"poisson"``: each person with probability `training.batch_size` / people.
    """

    secure_aggregation: bool = False
    max_share: MaxShare = 0.6
    epsilon: Epsilon | None = None
    delta: Delta = 1e-3
    clip: Positive = 1.0
    unit: Literal["person"] = "person"
    sampling: Sampling = "full_batch"

    @property
    def differential(self) -> DifferentialPrivacy | None:
        """The guarantee of differential privacy; None to train without."""
        if self.epsilon is None:
            return None
        return DifferentialPrivacy(self.epsilon, self.delta, self.clip, self.sampling)

    def public(self) -> dict[str, Json]:
        """Return the keys that say something, as JSON values; none without protection."""
        keys = self.model_dump(mode="json")
        if self.epsilon is None:
            keys = {key: value for key, value in keys.items() if key not in EPSILON_KEYS}
        return {} if self == PrivacySection() else keys


def find_visible_updates(
    sites: int, participation: ParticipationSection, baselines: Collection[str], aggregation: AggregationSection
) -> list[str]:
    """List what would show the server a single update, which secure aggregation hides."""
    problems, key = [], "privacy.secure_aggregation"
    drawn = drawn_sites(sites, participation.fraction)
    if drawn < MIN_SITES:
        problems.append(f"{key} needs {MIN_SITES} sites in each round, and there would be {drawn}")
    for baseline, why in VISIBLE_BASELINES.items():
        if baseline in baselines:
            problems.append(f"baselines: {baseline} {why}; leave it out with {key}")
    try:
        on_sums(aggregation.build())
    except InputError as error:
        problems.append(str(error))
    return problems


def find_unprotected(
    training: TrainingSettings, baselines: Collection[str], aggregation: AggregationSection, head: str
) -> list[str]:
    """List what would tell more of a person than differential privacy allows, or change its meaning."""
    problems, key = [], "privacy.epsilon"
    if head == NCC:
        problems.append(f"{key}: head ncc sends exact class sums; choose a head that trains, such as linear")
    if training.class_weighted:
        problems.append(
            f"{key}: class weights are counted from all labels, so one person would change everyone's gradient; write "
            "training: {class_weighted: false}"
        )
    if training.accumulation > 1:
        problems.append(f"{key}: training.accumulation has no meaning under it; leave it out")
    if baselines:
        problems.append(
            f"{key}: baselines ({', '.join(baselines)}) train on the same people again; run them as experiments of "
            "their own"
        )
    rule = aggregation.build()
    if rule.step_type.scores_training:
        problems.append(f"{key}: rule {rule.name} sends the exact loss over the training scans; choose another rule")
    return problems


def find_large_noise(head: str, tuning: str) -> list[str]:
    """Warn of models for which differential privacy is known to cost much."""
    if (head, tuning) == ("linear", "frozen"):
        return []
    trained = f"head {head}" if tuning == "frozen" else f"tuning {tuning}"
    return [
        f"privacy.epsilon: {trained} trains many parameters, and the noise grows with the square root of their number; "
        "prices in AUC are in docs/privacy.md, the lowest is that of head linear"
    ]
