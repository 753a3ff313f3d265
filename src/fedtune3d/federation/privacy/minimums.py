"""The minimum numbers of people in a site's policy, which apply to every kind of task."""

from collections.abc import Iterable, Mapping

from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.config.policy import Policy
from fedtune3d.config.privacy import DifferentialPrivacy
from fedtune3d.federation.privacy.refusal import Refusal

ByClass = tuple[int, ...]
"""People of each class, in the order of labels."""


def people_by_class(records: Iterable[ScanRecord], classes: int = 2) -> ByClass:
    """Count the people of each class; those who share a group count once, as they may be one person."""
    groups: list[set[str]] = [set() for _ in range(classes)]
    for record in records:
        groups[record.label].add(record.group_id)
    return tuple(map(len, groups))


def too_few(counts: ByClass, minimum: int) -> bool:
    """Return whether a class has people, but fewer than the minimum."""
    return any(0 < count < minimum for count in counts)


def require_classes(counts: ByClass, policy: Policy, site: str) -> None:
    """Raise `Refusal` if a class of an experiment has too few people at the site to answer any task."""
    if too_few(counts, policy.min_per_class):
        raise Refusal(
            f"policy.min_per_class of site {site} is {policy.min_per_class}, and a class has fewer people there"
        )


def require_training(counts: ByClass, policy: Policy, site: str) -> None:
    """Raise `Refusal` if a class has so few people in training that an update would reveal them."""
    if too_few(counts, policy.min_people):
        raise Refusal(
            f"policy.min_people of site {site} is {policy.min_people}, and a class has fewer people in training"
        )


def require_small_delta(privacy: DifferentialPrivacy, people: int, site: str) -> None:
    """Raise `Refusal` if δ is so great that publishing the data of one person of a site would keep to it."""
    if privacy.delta * people >= 1:
        raise Refusal(
            f"privacy.delta is {privacy.delta:g}, but must be below 1 / people in training at site {site}; write a "
            "smaller one"
        )


def small_splits(splits: Mapping[str, ByClass], policy: Policy) -> frozenset[str]:
    """Return the splits about which no number leaves, as a class has people in them, but fewer than `min_people`.

    If there is one, no total over the splits leaves either, as its numbers would follow by subtraction.
    """
    return frozenset(name for name, counts in splits.items() if too_few(counts, policy.min_people))
