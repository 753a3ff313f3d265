"""Read, prepare and count the scans of a site, before they are split."""

from typing import Annotated, ClassVar

from pydantic import Field

from fedtune3d.cohorts.dataset_description import is_simulated
from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import NOTHING, CountedBy, Declaration, Exactly, Reveals
from fedtune3d.federation.site.data import SiteData, count_people
from fedtune3d.federation.tasks.kind import TaskKind

Count = Annotated[int, Field(ge=0)]


class CountScans(Instruction):
    """Prepare all scans and count them."""

    kind: ClassVar[str] = "count_scans"


OF_PEOPLE = Declaration(Reveals.COUNT, CountedBy("people"))


class ScanCounts(Payload):
    """Numbers of people, scans and groups at a site.

    Attributes:
        simulated: Whether the cohort is simulated.
        people: People with a usable scan; those who share a group count once.
        scans: Usable scans that could be prepared.
        own_groups: Groups (people) that no other site can have.
        declared_groups: Pseudonym of each group that other sites may have, too → its (negative, positive) scans.
    """

    simulated: Annotated[bool, NOTHING]
    people: Annotated[Count, OF_PEOPLE]
    scans: Annotated[Count, OF_PEOPLE]
    own_groups: Annotated[Count, OF_PEOPLE]
    declared_groups: Annotated[dict[str, tuple[Count, Count]], Declaration(Reveals.IDENTIFIER, Exactly(1))]


def count_scans(site: SiteData, task: Task) -> Answer:
    """Count the scans of the site."""
    counts = ScanCounts(
        simulated=is_simulated(site.root),
        people=count_people(site.records),
        scans=len(site.records),
        own_groups=len({record.group_id for record in site.records if not site.is_shared(record)}),
        declared_groups=site.shared_groups(site.records),
    )
    return Answer(site.name, counts)


KIND = TaskKind(CountScans, ScanCounts, count_scans)
