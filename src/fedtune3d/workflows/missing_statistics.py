"""Why a run has no feature statistics, with which `predict` compares new scans with the training scans."""

from collections.abc import Sequence

from fedtune3d.cohorts.flow import ByClass
from fedtune3d.cohorts.splits import TRAIN
from fedtune3d.config.class_names import of_class
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.config.site import SiteSection
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome, in_shown_order
from fedtune3d.models.feature_statistics import MIN_SCANS
from fedtune3d.report.number_formatting import plural
from fedtune3d.report.run_contents import RunContents

DESCRIBING = "describe features"
"""The step in which sites send feature statistics, as `absences` names it."""


def why_no_statistics(contents: RunContents, experiment: Experiment) -> str:
    """Say what feature statistics take at least, and what each site had in training, as far as the run folder has it.

    If the sites' halves of the folder are elsewhere, so may be their policies: a site's own policy can ask for more
    people than the configuration of the run.
    """
    outcome = experiment.outcome
    least = sorted({people_needed(site, outcome) for site in experiment.sites})
    keys = sorted({f"policy.{_key(site.policy.for_outcome(outcome))}" for site in experiment.sites})
    people = str(least[0]) if len(least) == 1 else f"{least[0]} to {least[-1]}"
    of_class = "" if isinstance(outcome, NumberOutcome) else " of each class"
    own = "" if contents.on_one_machine else "; a site's own policy may ask for more"
    text = (
        f"no site sent the mean of its features, which takes at least {MIN_SCANS} training scans and {people} "
        f"people{of_class} in training ({' and '.join(keys)}{own})"
    )
    names = contents.names.in_order if outcome.is_binary else outcome.strata
    flows = {site: contents.flows[site].splits.get(TRAIN) for site in contents.sites if site in contents.flows}
    had = [f"{site} {_size(split, names, outcome)}" for site, split in flows.items() if split is not None]
    parts = [text, f"in training were: {', '.join(had)}"] if had else [text]
    absent = [f"{found.site}: {found.reason}" for found in contents.absences if found.step == DESCRIBING]
    return "; ".join([*parts, *absent])


def people_needed(site: SiteSection, outcome: Outcome) -> int:
    """Return the number of training people, of each class, below which a site sends no feature statistics."""
    policy = site.policy.for_outcome(outcome)
    return max(policy.min_people, policy.min_per_class)


def _key(policy: Policy) -> str:
    """Return the key that decides how many people are needed."""
    return "min_people" if policy.min_people > policy.min_per_class else "min_per_class"


def _size(split: ByClass, names: Sequence[str], outcome: Outcome) -> str:
    total = split.total
    counts = [split.of(label).participants for label in range(len(names))]
    if total.scans is None or None in counts:
        return "a number that the site holds back"
    if isinstance(outcome, NumberOutcome):
        return f"{total.participants} people ({plural(total.scans, 'scan')})"
    by_class = in_shown_order(of_class(count, name) for count, name in zip(counts, names, strict=True))
    return f"{', '.join(by_class)} ({plural(total.scans, 'scan')})"
