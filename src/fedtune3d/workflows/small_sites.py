"""The warnings of `check` about sites with few people, from what the sites of a run let leave."""

from dataclasses import replace

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.cohorts.flow import Flow
from fedtune3d.cohorts.splits import SPLITS
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.leak_audit import Finding, LeakAudit
from fedtune3d.workflows.plan_warnings import SiteSplits, SplitSize, plan_warnings


def with_small_sites(audit: LeakAudit, experiment: Experiment, folder: RunFolder) -> LeakAudit:
    """Add the warnings about sites with few people, as `check` does, so that a run's page counts the same ones.

    Args:
        audit: The leak audit of a run.
        experiment: The experiment.
        folder: The run folder, with the flow of participants. Sites that hold a number back are not judged.
    """
    flows = read_typed(dict[str, Flow], folder.flow, "run again with --resume")
    sizes = {site: found for site, flow in flows.items() if (found := _sizes(flow)) is not None}
    small = tuple(Finding("warning", text) for text in plan_warnings(experiment, sizes))
    return replace(audit, findings=(*audit.findings, *small))


def _sizes(flow: Flow) -> SiteSplits | None:
    """Return the sizes of a site's splits; None if it holds one of them back."""
    sizes = {}
    for split in SPLITS:
        part = flow.splits.get(split)
        if part is None or not part.classes:
            return None
        people = [counts.participants for counts in part.classes if counts.participants is not None]
        scans = part.total.scans
        if scans is None or len(people) < len(part.classes):
            return None
        sizes[split] = SplitSize(scans, tuple(people))
    return sizes
