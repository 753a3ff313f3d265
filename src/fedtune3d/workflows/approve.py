"""`fedtune3d site approve`: what an experiment asks of a site, on one screen, and the site's yes."""

from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.folders import RunFolder, SitePaths, SiteWork
from fedtune3d._utils.progress import Silent
from fedtune3d.cohorts.splits import SPLITS, TRAIN
from fedtune3d.config.cross_validation import require_one_run
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.privacy.approval import Approval, Approvals
from fedtune3d.federation.privacy.consent import require_answerable
from fedtune3d.federation.privacy.differential_privacy.forecast import forecast
from fedtune3d.federation.privacy.differential_privacy.spending import read_spending
from fedtune3d.federation.privacy.limits import require_within_limits
from fedtune3d.federation.privacy.minimums import people_by_class
from fedtune3d.federation.privacy.people import PeopleSets, hash_person, people_sets, site_key, too_close
from fedtune3d.federation.privacy.screen import approval_screen
from fedtune3d.federation.site.data import count_people
from fedtune3d.federation.tasks.registry import declared_answer
from fedtune3d.workflows.sites import make_hosted_site


@dataclass(frozen=True)
class Request:
    """An experiment that waits for a site's yes.

    Attributes:
        experiment: As the site read it.
        file: The text of its file.
        people: Whom it is about.
        screen: What it asks, in words.
    """

    experiment: Experiment
    file: str
    people: PeopleSets
    screen: str


def read_request(folder: Path, file: Path) -> Request:
    """Read an experiment file and the site's tables; nothing is written but the key of the people's hashes.

    Raises:
        Refusal: Where the site could not answer the experiment whoever approves it.
        InputError: Where the file or the tables are at fault.
    """
    settings, paths = SiteSettings.read(folder), SitePaths(folder)
    settings.install_encoders()
    experiment = Experiment.from_yaml(file, own_code=False)  # the file comes from elsewhere
    require_one_run(experiment.validation)
    key, approvals = site_key(paths.people_key, paths.hashed), Approvals(paths.approvals)
    withdrawn = approvals.withdrawn()
    section = settings.section_of(experiment)
    require_within_limits(experiment, section.policy)
    run = SiteWork(settings.work).run(experiment.name, experiment.sha256())
    site = make_hosted_site(
        experiment,
        section,
        RunFolder(run.path).site(section.name).path,
        Silent(),
        lambda participant: hash_person(key, participant) in withdrawn,
    )
    section = site.section
    require_answerable(experiment, section, settings.columns, site.cohort)
    records = site.cohort.records
    splits = site.own_splits(records)
    classes = experiment.outcome.strata
    people = people_sets(records, splits, key, classes)
    by_split = {
        name: people_by_class((record for record in records if splits.get(record.group_id) == name), site.classes)
        for name in SPLITS
    }
    minimum = section.policy.min_people
    withholds = any(too_close(people, released, minimum) for _, released in approvals.released())
    training = [record for record in records if splits.get(record.group_id) == TRAIN]
    cost = forecast(
        experiment,
        section.name,
        section.policy,
        count_people(training),
        people.get(TRAIN, ()),
        read_spending(paths.spending),
    )
    screen = approval_screen(
        experiment,
        section,
        settings.server,
        people_by_class(records, site.classes),
        by_split,
        declared_answer,
        withholds,
        cost,
    )
    return Request(experiment, file.read_text(encoding="utf-8"), people, screen)


def approve(folder: Path, request: Request) -> Approval:
    """Write down the site's yes."""
    return Approvals(SitePaths(folder).approvals).approve(request.experiment, request.file, request.people)
