"""The one order of sites in everything that a report shows: that of the configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from fedtune3d.evaluation.groups import AxisMetrics
from fedtune3d.evaluation.metrics import MethodMetrics, RunMetrics
from fedtune3d.evaluation.subgroups import SubgroupAxis
from fedtune3d.federation.leak_audit import LeakAudit
from fedtune3d.preparation.profiles import Profiles

Value = TypeVar("Value")
Axis = TypeVar("Axis", AxisMetrics, SubgroupAxis)


def by_site(parts: Mapping[str, Value], sites: Sequence[str]) -> dict[str, Value]:
    """Put what belongs to sites into their order; keys that are no sites, such as ``Pooled``, follow as they are."""
    return {site: parts[site] for site in sites if site in parts} | dict(parts)


def ordered_metrics(metrics: RunMetrics, sites: Sequence[str]) -> RunMetrics:
    """Put the sites of all methods and comparisons into an order; no number changes."""
    return replace(
        metrics,
        methods={name: _of_two(method, sites) for name, method in metrics.methods.items()},
        class_methods={
            name: replace(method, sites=by_site(method.sites, sites), groups=_axes(method.groups, sites))
            for name, method in metrics.class_methods.items()
        },
        number_methods={
            name: replace(
                method,
                sites=by_site(method.sites, sites),
                corrections=by_site(method.corrections, sites),
                groups=_axes(method.groups, sites),
            )
            for name, method in metrics.number_methods.items()
        },
        against={
            name: replace(differences, sites=by_site(differences.sites, sites))
            for name, differences in metrics.against.items()
        },
    )


def ordered_audit(audit: LeakAudit, sites: Sequence[str]) -> LeakAudit:
    """Put the sites whose people are described into an order."""
    return replace(audit, described=by_site(audit.described, sites))


def ordered_profiles(profiles: Profiles, sites: Sequence[str]) -> Profiles:
    """Put the sites of the intensity profiles into an order; in a pair, too, the earlier site comes first."""
    place = {site: index for index, site in enumerate(sites)}
    pairs = [
        (first, second, distance) if place.get(first, 0) <= place.get(second, 0) else (second, first, distance)
        for first, second, distance in profiles.wasserstein
    ]
    pairs.sort(key=lambda pair: (place.get(pair[0], 0), place.get(pair[1], 0)))
    return replace(profiles, sites=by_site(profiles.sites, sites), wasserstein=tuple(pairs))


def _of_two(method: MethodMetrics, sites: Sequence[str]) -> MethodMetrics:
    attack = method.membership
    return replace(
        method,
        sites=by_site(method.sites, sites),
        groups=None if method.groups is None else _axes(method.groups, sites),
        membership=None if attack is None else replace(attack, sites=by_site(attack.sites, sites)),
        recalibrated=by_site(method.recalibrated, sites),
    )


def _axes(axes: Mapping[str, Axis], sites: Sequence[str]) -> dict[str, Axis]:
    return {
        name: replace(axis, groups=by_site(axis.groups, sites)) if name == "site" else axis
        for name, axis in axes.items()
    }
