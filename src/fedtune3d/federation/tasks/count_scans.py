"""Read, prepare and count the scans of a site, before they are split."""

from typing import Annotated, ClassVar

from pydantic import Field

from fedtune3d.cohorts.dataset_description import is_simulated
from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import NOTHING, CountedBy, Declaration, Exactly, IfFew, Reveals
from fedtune3d.federation.site.data import SiteData, count_people
from fedtune3d.federation.tasks.kind import TaskKind

Count = Annotated[int, Field(ge=0)]


class CountScans(Instruction):
    """Prepare all scans and count them."""

    kind: ClassVar[str] = "count_scans"


OF_PEOPLE = CountedBy("people", IfFew.HOLD_BACK)
OTHERS_MAY_HAVE = "people whom other sites may have, too: pseudonyms, and scans of each class"


class ScanCounts(Payload):
    """Numbers of people, scans and groups at a site; None where a total would reveal a small split.

    Attributes:
        simulated: Whether the cohort is simulated.
        people: People with a usable scan; those who share a group count once.
        scans: Usable scans that could be prepared.
        own_groups: Groups (people) that no other site can have.
        declared_groups: Pseudonym of each group that other sites may have, too → its scans of each class.
    """

    simulated: Annotated[bool, NOTHING]
    people: Annotated[Count | None, Declaration(Reveals.COUNT, OF_PEOPLE)] = None
    scans: Annotated[Count | None, Declaration(Reveals.COUNT, OF_PEOPLE)] = None
    own_groups: Annotated[Count | None, Declaration(Reveals.COUNT, OF_PEOPLE, "people whom no other site can have")] = (
        None
    )
    declared_groups: Annotated[
        dict[str, tuple[Count, ...]], Declaration(Reveals.IDENTIFIER, Exactly(1), OTHERS_MAY_HAVE)
    ] = Field(default_factory=dict)


def count_scans(site: SiteData, task: Task) -> Answer:
    """Count the scans of the site."""
    counts = ScanCounts(simulated=is_simulated(site.root), declared_groups=site.shared_groups(site.records))
    if not site.small_splits():
        totals = {
            "people": count_people(site.records),
            "scans": len(site.records),
            "own_groups": len({record.group_id for record in site.records if not site.is_shared(record)}),
        }
        counts = counts.model_copy(update=totals)
    return Answer(site.name, counts)


KIND = TaskKind(CountScans, ScanCounts, count_scans, max_json_bytes=16 << 20, contents="number of people and of scans")
