"""Which sites take part in a round, and how failures are handled."""

import math
from typing import Annotated

from pydantic import Field

from fedtune3d._utils.ranges import Count, CountOrZero, Fraction, Number, Positive
from fedtune3d._utils.strict import StrictModel


class ParticipationSection(StrictModel):
    """Participation of sites in rounds, and handling of failures."""

    fraction: Fraction = 1.0
    quorum: Count | None = None
    deadline_seconds: Positive | None = None
    retries: CountOrZero = 1
    max_norm: Annotated[Number, Field(gt=0, le=1e30, allow_inf_nan=False)] = 1e6
    max_norm_ratio: Annotated[Number, Field(ge=1, le=1e9, allow_inf_nan=False)] = 10.0


def drawn_sites(sites: int, fraction: float) -> int:
    """How many of the sites train in a round."""
    return math.ceil(fraction * sites - 1e-9)
