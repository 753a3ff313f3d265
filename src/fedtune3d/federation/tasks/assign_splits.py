"""Assign the groups of a site to training, validation and test."""

from typing import Annotated, ClassVar

import numpy as np

from fedtune3d._utils.typed_json import write_typed
from fedtune3d.cohorts.flow import (
    NOTHING_SHOWN,
    BadScan,
    Flow,
    SiteFlow,
    count_flow,
    leaving,
    without_folder,
)
from fedtune3d.cohorts.splits import write_splits
from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import AtLeast, Declaration, Reveals
from fedtune3d.federation.privacy.minimums import require_small_delta
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.site.inputs import list_inputs
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.preparation.pictures import write_example
from fedtune3d.preparation.quality.page import check_quality
from fedtune3d.preparation.store import count_steps

EXAMPLES = 3


class AssignSplits(Instruction):
    """Split the site's own groups at the site, and groups shared between sites as the server has split them.

    Attributes:
        groups: Pseudonym of each shared group → its split.
    """

    kind: ClassVar[str] = "assign_splits"
    groups: dict[str, str]


OF_ENOUGH = Declaration(Reveals.COUNT, AtLeast("min_people"), "people in each split and class")


class SplitFlow(Payload):
    """The flow of a site's participants (`cohorts/flow.py`), with the counts that its policy lets leave."""

    flow: Annotated[Flow, OF_ENOUGH] = NOTHING_SHOWN


def assign_splits(site: SiteData, task: Task) -> Answer:
    """Assign the splits, save them and the full flow at the site, and answer with the counts that may leave."""
    site.require_enough_people(site.records)
    splits = site.assign(site.records, task.expect(AssignSplits).groups)
    write_splits(site.files.splits, site.records, splits)
    site.splits = splits
    if (privacy := site.experiment.privacy.differential) is not None:
        require_small_delta(privacy, site.people("train"), site.name)
    flow = count_flow(site.cohort, site.prepared.bad, splits, site.classes)
    bad = tuple(BadScan(record.name, without_folder(record, why)) for record, why in site.prepared.bad)
    flagged = sum(bool(scan.reasons) for scan in check_quality(site.prepared))
    write_typed(site.files.flow, SiteFlow(flow, bad, site.warnings, flagged, count_steps(site.prepared.paths.values())))
    write_typed(site.files.inputs, list_inputs(site.root, site.prepared.paths, site.section.participants))
    policy = site.section.policy
    if policy.pictures_leave:
        _write_examples(site)
    shown = leaving(flow, policy.predictions_leave, policy.min_people, site.small_splits())
    return Answer(site.name, SplitFlow(flow=shown))


def _write_examples(site: SiteData) -> None:
    for record in site.records[:EXAMPLES]:
        voxels = np.load(site.prepared.paths[record], mmap_mode="r")
        write_example(voxels, site.files.example(record.name))


KIND = TaskKind(
    AssignSplits,
    SplitFlow,
    assign_splits,
    contents="number of people and scans in each split, by class, and of those excluded",
)
