"""Before the rounds: count the scans at each site and split the people of all sites."""

from collections.abc import Iterable, Mapping, Sequence

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.class_cover import ClassCounts
from fedtune3d.cohorts.flow import WHOLE_SITE, Flow
from fedtune3d.cohorts.splits import TEST
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.overlap import Overlap
from fedtune3d.federation.leak_audit import Ask
from fedtune3d.federation.messages import Task
from fedtune3d.federation.tasks.assign_splits import AssignSplits, SplitFlow
from fedtune3d.federation.tasks.count_scans import CountScans, ScanCounts


def count_and_split(experiment: Experiment, ask: Ask) -> tuple[dict[str, ScanCounts], dict[str, Flow]]:
    """Have every site read, prepare and split its scans; groups that sites declare are split at the server.

    Returns:
        Site → its counts, and site → the flow of its participants.

    Raises:
        InputError: If a class has no one at any site.
    """
    counts = {answer.site: answer.expect(ScanCounts) for answer in ask(Task(CountScans()))}
    splits = split_shared(experiment, [site.declared_groups for site in counts.values()])
    flows = {answer.site: answer.expect(SplitFlow).flow for answer in ask(Task(AssignSplits(groups=splits)))}
    site_totals = [flow.splits[WHOLE_SITE] for flow in flows.values()]
    names = experiment.outcome.strata
    # A suppressed count is None, not 0.
    present = [any(classes.of(label).scans != 0 for classes in site_totals) for label in range(len(names))]
    require_every_class(present, names)
    return counts, flows


def split_shared(experiment: Experiment, counts: Iterable[Mapping[str, ClassCounts]]) -> dict[str, str]:
    """Split the groups that several sites may share, given each site's scan counts per class. Returns group → split.

    Every split of every site gets every class of these groups where that is possible.
    """
    sites = [dict(site) for site in counts]
    shared: dict[str, ClassCounts] = {}
    for site in sites:
        for group, scans in site.items():
            before = shared.get(group, (0,) * len(scans))
            shared[group] = tuple(map(sum, zip(before, scans, strict=True)))
    return experiment.assign(shared, "shared", sites)


def shared_in_test(experiment: Experiment, counts: Mapping[str, ScanCounts]) -> Overlap:
    """Return the groups in the sites' test sets that several sites may have, as far as sites declare them."""
    splits = split_shared(experiment, [site.declared_groups for site in counts.values()])
    return Overlap(
        {
            name: {group: classes for group, classes in site.declared_groups.items() if splits[group] == TEST}
            for name, site in counts.items()
        }
    )


def require_every_class(
    present: Sequence[bool], names: Sequence[str], of_sites: str = "", notes: Sequence[str] = ()
) -> None:
    """Raise `InputError` if no site has anyone of a class.

    Args:
        present: Whether there is anyone, in the order of labels.
        names: The names of the classes.
        of_sites: Such as `` of sites A, B`` where all labels are the sites' own.
        notes: What the sites' tables have instead, if that is known here.
    """
    for is_present, name in zip(present, names, strict=True):
        if not is_present:
            why = "" if notes else "; `fedtune3d prepare` shows who was excluded and why"
            first = f"labels.{name}{of_sites}: no one at any site is {name}; correct the labels{why}"
            raise InputError("\n".join([first, *notes]))


def count_people(counts: Mapping[str, ScanCounts]) -> int | None:
    """Count the distinct people (or anatomies) behind the scans of all sites; None if a site withholds its number."""
    declared = {group for site in counts.values() for group in site.declared_groups}
    per_site = [site.own_groups for site in counts.values()]
    known = [groups for groups in per_site if groups is not None]
    return len(declared) + sum(known) if len(known) == len(per_site) else None
