"""Weights within the bounds of secure aggregation: none too great a share of the sum, and none next to nothing."""

import math
from collections.abc import Mapping

MARGIN = 1e-9
"""By which a weight stays within its bound, so that rounding does not take it out."""


def bound_shares(
    amounts: Mapping[str, float], max_share: float, min_part: float
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Raise amounts to a part of the greatest, then cut those above `max_share` of the sum; the sum stays the same.

    What is cut goes to the others in proportion to their amounts, repeatedly, because the others grow. An amount of 0
    stays 0.

    Args:
        amounts: Site → amount, at least 0, with a positive sum.
        max_share: Greatest share, above 0, up to 1.
        min_part: Least part of the greatest amount, from 0, below 1.

    Returns:
        Site → amount, and the sites whose amount was raised or cut, sorted. Amounts are not cut where too few sites
        have a positive one.
    """
    least = min_part * (1 + MARGIN) * max(amounts.values())
    raised = {site for site, amount in amounts.items() if 0 < amount < min_part * max(amounts.values())}
    total = math.fsum(amounts.values())
    lifted = dict(amounts) | dict.fromkeys(raised, least)
    scale = total / math.fsum(lifted.values())
    result = {site: amount * scale for site, amount in lifted.items()} if raised else lifted
    result, cut = _cut(result, max_share, total)
    return result, tuple(sorted(raised | cut))


def _cut(amounts: dict[str, float], max_share: float, total: float) -> tuple[dict[str, float], set[str]]:
    """Return the amounts with none above the greatest share, and whose were cut."""
    counted = [site for site in sorted(amounts) if amounts[site] > 0]
    limit, result = max_share * (1 - MARGIN), dict(amounts)
    cut: set[str] = set()
    while above := {site for site in counted if result[site] > max_share * total} - cut:
        cut |= above
        others = [site for site in counted if site not in cut]
        rest = total * (1 - limit * len(cut))
        if not others or rest <= 0:
            return dict(amounts), set()
        scale = rest / math.fsum(amounts[site] for site in others)
        result |= dict.fromkeys(cut, limit * total) | {site: amounts[site] * scale for site in others}
    return result, cut
