"""The consent of a site to one experiment: its approval, the people concerned, and the budget."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from fedtune3d.cohorts.reading import column_values
from fedtune3d.cohorts.records import Cohort
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.config.site import SiteSection
from fedtune3d.evaluation.outcome import BINARY
from fedtune3d.federation.privacy.account import Account
from fedtune3d.federation.privacy.approval import Approvals, require_same_people
from fedtune3d.federation.privacy.columns import require_columns
from fedtune3d.federation.privacy.minimums import people_by_class, require_classes
from fedtune3d.federation.privacy.people import EVERYONE, PeopleSets, too_close
from fedtune3d.federation.privacy.refusal import Refusal

WITHHELD = "its people differ by too few from those of an earlier experiment"


def require_answerable(experiment: Experiment, section: SiteSection, columns: Iterable[str], cohort: Cohort) -> None:
    """Check that a site may answer any task about the people of an experiment.

    Args:
        experiment: The experiment to be approved or answered.
        section: The site's section, with its root and policy.
        columns: The columns that labels may use.
        cohort: The site's people, as labelled by the experiment.

    Raises:
        Refusal: If labels use a column that is not allowed, or a class has too few people.
    """
    labels = experiment.wanted_of(section)
    assert section.root is not None
    values = column_values(section.root, labels.columns, section.format, section.participants)
    require_columns(labels, columns, values)
    counts = people_by_class(cohort.records, len(experiment.outcome.strata))
    require_classes(counts, section.policy, section.name)


@dataclass(frozen=True)
class Consent:
    """The agreement of a site to one experiment, as it stands.

    Attributes:
        approvals: The decisions of the site.
        account: The tasks so far.
        people: The people concerned by the experiment at present.
        withholds: Whether counts and statistics stay at the site (`WITHHELD`).
    """

    approvals: Approvals
    account: Account
    people: PeopleSets
    withholds: bool

    @classmethod
    def open(
        cls,
        approvals: Approvals,
        account: Account,
        people: PeopleSets,
        policy: Policy,
        classes: Sequence[str] = BINARY.strata,
    ) -> Self:
        """Open the consent to an experiment; whether counts are withheld depends on earlier releases.

        Raises:
            Refusal: If the experiment is not approved, or its people have changed.
        """
        require_same_people(approvals.require(account.experiment, account.site), people, account.site, classes)
        withholds = any(too_close(people, released, policy.min_people) for _, released in approvals.released())
        return cls(approvals, account, people, withholds)

    def require_approved(self) -> None:
        """Raise `Refusal` if the approval is no longer valid, or is about a person who has withdrawn since."""
        self.approvals.require(self.account.experiment, self.account.site)
        if self.approvals.withdrawn() & set(self.people[EVERYONE]):
            raise Refusal(f"a participant has withdrawn at site {self.account.site}; ask again without them")

    def note_release(self) -> None:
        """Record the release before the first number about these people leaves."""
        self.approvals.note_release(self.account.experiment, self.people)
