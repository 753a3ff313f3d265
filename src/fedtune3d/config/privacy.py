"""What the server may see of the sites' updates."""

from collections.abc import Collection
from typing import Annotated

from pydantic import Field

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.ranges import Number
from fedtune3d._utils.strict import StrictModel
from fedtune3d.aggregation.sums import on_sums
from fedtune3d.config.aggregation import AggregationSection
from fedtune3d.config.participation import ParticipationSection, drawn_sites

MIN_SITES = 3
"""Fewest sites behind a secure sum: of two, each could tell the other's update from the sum."""
MaxShare = Annotated[Number, Field(gt=1 / MIN_SITES, le=1, allow_inf_nan=False)]
"""With a third or less, no three sites could share the sum."""
VISIBLE_BASELINES = {
    "local": "shows the server each site's own model",
    "leave_one_site_out": "adds up the same updates with and without a site, which tells that site's",
}


class PrivacySection(StrictModel):
    """The protection of updates; the same at all sites of an experiment.

    Attributes:
        secure_aggregation: Whether sites mask their updates, so that the server learns only their sum.
        max_share: Upper limit of a site's share of that sum. Greater weights of a rule are cut to it, and the others
            take the rest (`aggregation.capping`).
    """

    secure_aggregation: bool = False
    max_share: MaxShare = 0.6


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
