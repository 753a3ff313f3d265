"""The approval screen for a data protection officer, generated from the declarations of all kinds of task that the
experiment needs, so that none can be left out."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping

from fedtune3d._utils.foreign_text import one_line
from fedtune3d.cohorts.records import LabelMapping
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.config.site import SiteSection
from fedtune3d.federation.messages import LEAVE_ONE_SITE_OUT
from fedtune3d.federation.privacy.budget import budget_of
from fedtune3d.federation.privacy.consent import WITHHELD
from fedtune3d.federation.privacy.declarations import (
    AnswerDeclaration,
    AtLeast,
    CountedBy,
    Declaration,
    Exactly,
    Reveals,
)
from fedtune3d.federation.privacy.minimums import ByClass, small_splits
from fedtune3d.federation.privacy.suppression import UPDATES

WIDTH = 80
_SPLIT_NAMES = ("train", "validation", "test")


def approval_screen(
    experiment: Experiment,
    section: SiteSection,
    people: ByClass,
    splits: Mapping[str, ByClass],
    declared: Callable[[str], AnswerDeclaration],
    withholds: bool,
) -> str:
    """Return the screen in lines of at most 80 characters.

    Args:
        experiment: The experiment to be approved.
        section: The site's section, with its policy.
        people: Number of people of each class at this site.
        splits: Split → number of people of each class.
        declared: Returns the declarations of the answers to a kind of task, by its name.
        withholds: Whether counts and statistics will stay at this site.
    """
    return "\n".join(
        [
            f"Experiment {experiment.name} ({experiment.sha256()[:12]}), for site {section.name}",
            "",
            "WHO IS ASKED ABOUT",
            *_who(experiment.labels_of(section), section, people, splits),
            "",
            "WHAT IS TRAINED",
            *_what(experiment),
            "",
            "WHAT LEAVES, HOW OFTEN AT MOST, AND OF HOW MANY PEOPLE",
            *_leaves(experiment, section, declared, withholds),
            "",
            "WHAT COULD BE INFERRED AT WORST",
            *_worst(experiment, section.policy),
        ]
    )


def _who(labels: LabelMapping, section: SiteSection, people: ByClass, splits: Mapping[str, ByClass]) -> Iterator[str]:
    for name, wanted, count in (("positive", labels.positive, people[1]), ("negative", labels.negative, people[0])):
        expression = wanted if isinstance(wanted, str) else f"diagnosis is {' or '.join(wanted)}"
        yield from _wrapped(f"{name}: {expression} ({count} people here)")
    sessions = section.sessions if isinstance(section.sessions, str) else ", ".join(section.sessions)
    yield from _wrapped(f"columns of the table: {', '.join(labels.columns)}; sessions: {sessions}")
    shares = (f"{name} {sum(splits[name])}" for name in _SPLIT_NAMES)
    yield from _wrapped(f"people in each split: {', '.join(shares)}")
    if small := small_splits(splits, section.policy):
        yield from _wrapped(
            f"too small for any number to leave, or for the total: {', '.join(sorted(small))}"
            + ("; the site will not train" if "train" in small else "")
        )


def _what(experiment: Experiment) -> Iterator[str]:
    training, participation = experiment.training, experiment.participation
    rates = [f"head {training.head_learning_rate:g}"]
    if experiment.tuning.method != "frozen":
        rates.append(f"encoder {training.encoder_learning_rate:g}")
    yield from _wrapped(
        f"{experiment.head_name()} on the encoder {experiment.model.encoder}, tuning {experiment.tuning.method}; "
        f"rule {experiment.aggregation.rule}; sites {', '.join(site.name for site in experiment.sites)}"
    )
    epochs = training.local_epochs
    yield from _wrapped(
        f"optimiser {training.optimizer}, rate of the {', of the '.join(rates)}; {training.rounds} rounds (each at "
        f"most {1 + participation.retries} times) of {epochs} pass{'es' * (epochs > 1)} over the training scans, "
        f"{training.batch_size} at a time"
    )
    if experiment.baselines:
        named = ", ".join(name.replace("_", " ") for name in experiment.baselines)
        yield from _wrapped(f"for comparison as many rounds again for each of: {named}")


def _leaves(
    experiment: Experiment, section: SiteSection, declared: Callable[[str], AnswerDeclaration], withholds: bool
) -> Iterator[str]:
    times: dict[str, int] = {}
    for purpose, allowance in budget_of(experiment, section.name).items():
        kind = purpose.split()[0]
        times[kind] = times.get(kind, 0) + allowance.times
    for kind, count in sorted(times.items()):
        answer = declared(kind)
        entries = [*answer.fields.values(), *answer.parts.values()]
        meanings = [entry for entry in entries if _leaves_here(entry, withholds) and _allowed(kind, entry, section)]
        if experiment.privacy.secure_aggregation:  # updates leave under masks, in a task of their own
            meanings = [entry for entry in meanings if entry.reveals is not Reveals.TENSOR]
        words = ", ".join(sorted({f"{entry.reveals.value} of {_people(entry, section.policy)}" for entry in meanings}))
        if words and count:
            yield from _wrapped(f"{count} × {kind.replace('_', ' ')}: {words}")
    if withholds:
        yield from _wrapped(f"Counts and statistics are withheld: {WITHHELD}.")


def _leaves_here(entry: Declaration, withholds: bool) -> bool:
    return entry.reveals in UPDATES if withholds else entry.reveals is not Reveals.NOTHING


def _allowed(kind: str, entry: Declaration, section: SiteSection) -> bool:
    """Whether the site's settings let it leave at all."""
    if kind == "fingerprint_scans":
        return section.fingerprint_key is not None
    if kind == "map_saliency":
        return section.policy.maps_leave
    return section.policy.groups_leave or entry.reveals is not Reveals.IDENTIFIER


def _people(entry: Declaration, policy: Policy) -> str:
    match entry.people:
        case Exactly(people):
            return f"{people} person" if people == 1 else f"{people} people"
        case AtLeast(key):
            return f"{getattr(policy, key)} people or more"
        case CountedBy():
            return f"{policy.min_people} people or more"
    return "nobody"


def _worst(experiment: Experiment, policy: Policy) -> Iterator[str]:
    if experiment.privacy.secure_aggregation:
        yield from _wrapped(
            "The server sees the sum of the sites' updates and not this site's own, unless two thirds of the other "
            "sites help it. What follows then holds for the sum."
        )
    yield from _wrapped(
        "From updates it can be guessed whether a person was in the training, and images of single scans can be "
        "approximated; more so the more is trained, the fewer the people and the fewer the steps."
    )
    if experiment.training.optimizer == "sgd":
        yield from _wrapped("With plain sgd and few steps an update is close to a mean over the training scans.")
    yield from _wrapped(
        "A server that deviates from the protocol can send states made to single people out, and read from the "
        "update their pooled features (not their images)."
    )
    if experiment.tuning.method == "full":
        yield from _wrapped("Tuning full: the whole encoder leaves, which tells most about single scans.")
    if LEAVE_ONE_SITE_OUT in experiment.baselines:
        yield from _wrapped("Leave one site out trains on the same people once for each other site.")
    if policy.predictions_leave:
        yield from _wrapped("The probability of each test scan leaves, without a name.")
    yield from _wrapped("What has left cannot be taken back. The whole text: docs/threat-model.md, docs/dpia.md.")


def _wrapped(text: str) -> list[str]:
    visible = one_line(text, longest=sys.maxsize)  # an experiment's words come from elsewhere
    return textwrap.wrap(visible, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
