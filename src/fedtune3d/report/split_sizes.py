"""Numbers of people in each split over all sites, as far as policies let them leave."""

from dataclasses import dataclass

from fedtune3d.cohorts.flow import NOBODY
from fedtune3d.report.run_contents import RunContents


@dataclass(frozen=True)
class SplitSize:
    """People with a positive scan and other people in a split; None where a site does not let its number leave."""

    positive: int | None
    negative: int | None


UNKNOWN = SplitSize(None, None)


def people_in(contents: RunContents, split: str) -> SplitSize:
    """Add up the people of a split over the sites: ``all``, ``train``, ``validation`` or ``test``."""
    by_site = [contents.flows[site].splits.get(split) for site in contents.sites if site in contents.flows]
    known = [part for part in by_site if part is not None]
    if len(known) < len(contents.sites):
        return UNKNOWN
    negative, positive = (sum((part.of(label) for part in known), NOBODY).participants for label in (0, 1))
    return UNKNOWN if positive is None or negative is None else SplitSize(positive, negative)


def people_text(size: SplitSize) -> str:
    """Format a size: `25 positive and 30 negative people`, or that a site does not tell."""
    if size.positive is None or size.negative is None:
        return "a number of people that not every site lets leave"
    return f"{size.positive} positive and {size.negative} negative people"
