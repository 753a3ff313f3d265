"""Numbers of people in each split over all sites, as far as policies let them leave."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d.cohorts.flow import NOBODY
from fedtune3d.config.class_names import of_class
from fedtune3d.evaluation.outcome import BINARY, in_shown_order
from fedtune3d.report.run_contents import RunContents

HELD_BACK = "a number of people that not every site lets leave"


@dataclass(frozen=True)
class SplitSize:
    """People of each class in a split.

    Attributes:
        people: Their numbers, in the order of labels; None where a site does not let one of them leave.
        classes: The names of the classes by their diagnoses; one where a number is predicted.
    """

    people: tuple[int, ...] | None
    classes: tuple[str, ...] = BINARY.strata


def people_in(contents: RunContents, split: str) -> SplitSize:
    """Add up the people of a split over the sites: ``all``, ``train``, ``validation`` or ``test``."""
    classes = contents.names.in_order
    by_site = [contents.flows[site].splits.get(split) for site in contents.sites if site in contents.flows]
    known = [part for part in by_site if part is not None]
    if len(known) < len(contents.sites):
        return SplitSize(None, classes)
    sums = [sum((part.of(label) for part in known), NOBODY).participants for label in range(len(classes))]
    people = tuple(count for count in sums if count is not None)
    return SplitSize(people if len(people) == len(sums) else None, classes)


def size_text(people: Sequence[int], classes: Sequence[str]) -> str:
    """Format the people of each class, in the order of labels: `55 people (25 AD, 30 CN)`."""
    total = f"{sum(people)} {'person' if sum(people) == 1 else 'people'}"
    if len(people) == 1:
        return total
    counted = in_shown_order(of_class(count, name) for count, name in zip(people, classes, strict=True))
    return f"{total} ({', '.join(counted)})"


def people_text(size: SplitSize) -> str:
    """Format a size: `25 AD and 30 CN participants`, or that a site does not tell.

    Where a class is named by a number: `55 people (25 of class 1 and 30 of class 0)`.
    """
    if size.people is None:
        return HELD_BACK
    if len(size.people) == 1:
        return f"{size.people[0]} people"
    counted = {name: of_class(count, name) for count, name in zip(size.people, size.classes, strict=True)}
    shown = in_shown_order(counted.values())
    listed = f"{', '.join(shown[:-1])} and {shown[-1]}"
    if any(text.split(" ", 1)[1] != name for name, text in counted.items()):
        return f"{sum(size.people)} people ({listed})"
    return f"{listed} participants"
