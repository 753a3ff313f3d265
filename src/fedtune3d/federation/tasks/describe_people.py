"""Describe the people of a site: classes, sex and age by split, and public cohorts that the ids look like."""

from typing import Annotated, ClassVar

from pydantic import Field

from fedtune3d.cohorts.missing_columns import missing_columns
from fedtune3d.cohorts.public_cohorts import PUBLIC_COHORTS, PublicCohort, recognise_cohorts
from fedtune3d.cohorts.splits import read_splits_of_scans
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import AtLeast, Declaration, Reveals
from fedtune3d.federation.site.audit import NOBODY_SHOWN, PeopleByClass, age_auc, people_by_split
from fedtune3d.federation.site.data import SPLITS, SiteData
from fedtune3d.federation.tasks.kind import TaskKind

OF_A_CLASS = AtLeast("min_described")
CONTENTS = "age and sex, by class and split, and public cohorts that the ids look like"


class DescribePeople(Instruction):
    """Describe the people of each split."""

    kind: ClassVar[str] = "describe_people"


class PeopleDescription(Payload):
    """The people of a site, without numbers about fewer people than the site's policy allows.

    Attributes:
        splits: Split (and ``all``) → its people by class.
        age_auc: AUC of age as a predictor of the label.
        cohorts: Public cohorts that the ids of enough people look like.
    """

    splits: Annotated[
        dict[str, PeopleByClass], Declaration(Reveals.STATISTIC, OF_A_CLASS, "age and sex by split and class")
    ] = Field(default_factory=lambda: dict.fromkeys((*SPLITS, "all"), NOBODY_SHOWN))
    age_auc: Annotated[
        Estimate, Declaration(Reveals.STATISTIC, OF_A_CLASS, "AUC of age as a predictor of the class")
    ] = undefined("held back by the site")
    cohorts: Annotated[
        tuple[PublicCohort, ...],
        Field(max_length=len(PUBLIC_COHORTS)),
        Declaration(Reveals.STATISTIC, OF_A_CLASS, "public cohorts that the ids look like"),
    ] = ()


def describe_people(site: SiteData, task: Task) -> Answer:
    """Describe the people of the site."""
    splits, min_people = read_splits_of_scans(site.files.splits), site.section.policy.min_described
    small, ids = site.small_splits(), [record.participant_id for record in site.records]
    description = PeopleDescription(
        splits=people_by_split(site.records, splits, min_people, small, site.classes),
        age_auc=_age_auc(site, min_people),
        cohorts=() if small else recognise_cohorts(ids, min_people),
    )
    return Answer(site.name, description)


def _age_auc(site: SiteData, min_people: int) -> Estimate:
    outcome = site.experiment.outcome
    if not outcome.is_binary:
        return undefined("the outcome is not one of two classes")
    if "age" in missing_columns(site.cohort.columns):
        return undefined("the tables have no column age")
    return age_auc(site.records, min_people, site.experiment.seed)


KIND = TaskKind(DescribePeople, PeopleDescription, describe_people, contents=CONTENTS)
