"""Which sites take part in a round, and how failures are handled."""

import math
from typing import Annotated

from pydantic import Field

from fedtune3d._utils.ranges import Count, CountOrZero, Fraction, Number, Positive
from fedtune3d._utils.strict import StrictModel


class ParticipationSection(StrictModel):
    """Participation of sites in rounds, and handling of failures.

    Attributes:
        fraction: Fraction of the sites that train in a round, drawn from the seed; all of them score the state.
        quorum: Minimum number of updates for a round to count; null for half of the sites that were asked.
        deadline_seconds: Answers that come later are refused; null for no deadline.
        retries: How often a round without a quorum is repeated before the run stops, with its state saved.
        max_norm: Maximum 2-norm of a site's change; a larger update is refused.
        max_norm_ratio: Maximum ratio of a site's change per local step to the round's median, from four sites on.
    """

    fraction: Fraction = 1.0
    quorum: Count | None = None
    deadline_seconds: Positive | None = None
    retries: CountOrZero = 1
    max_norm: Annotated[Number, Field(gt=0, le=1e30, allow_inf_nan=False)] = 1e6
    max_norm_ratio: Annotated[Number, Field(ge=1, le=1e9, allow_inf_nan=False)] = 10.0


def drawn_sites(sites: int, fraction: float) -> int:
    """How many of the sites train in a round."""
    return math.ceil(fraction * sites - 1e-9)
