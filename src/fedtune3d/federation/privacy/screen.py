"""The approval screen for a data protection officer, generated from the declarations of all kinds of task that the
experiment needs, so that none can be left out."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence

from fedtune3d._utils.foreign_text import one_line
from fedtune3d.aggregation.registry import rule_title
from fedtune3d.cohorts.labels import Truth
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.cohorts.splits import SPLITS
from fedtune3d.config.class_names import class_title
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.config.privacy import DifferentialPrivacy
from fedtune3d.config.site import SiteSection
from fedtune3d.evaluation.outcome import NumberOutcome, in_shown_order
from fedtune3d.federation.messages import LEAVE_ONE_SITE_OUT
from fedtune3d.federation.privacy.budget import budget_of
from fedtune3d.federation.privacy.consent import WITHHELD
from fedtune3d.federation.privacy.declarations import (
    AnswerDeclaration,
    AtLeast,
    Declaration,
    Exactly,
    Reveals,
)
from fedtune3d.federation.privacy.differential_privacy.forecast import Forecast, guarantee
from fedtune3d.federation.privacy.minimums import ByClass, small_splits
from fedtune3d.federation.privacy.suppression import UPDATES

WIDTH = 80


def approval_screen(
    experiment: Experiment,
    section: SiteSection,
    recipient: str,
    people: ByClass,
    splits: Mapping[str, ByClass],
    declared: Callable[[str], AnswerDeclaration],
    withholds: bool,
    cost: Forecast | None = None,
) -> str:
    """Return the screen in lines of at most 80 characters.

    Args:
        experiment: The experiment to be approved.
        section: The site's section, with its policy.
        recipient: The server's address.
        people: Number of people of each class at this site.
        splits: Split → number of people of each class.
        declared: Returns the declarations of the answers to a kind of task, by its name.
        withholds: Whether counts and statistics will stay at this site.
        cost: What the experiment costs the people here under differential privacy; None without.
    """
    return "\n".join(
        [
            f"Experiment {experiment.name} ({experiment.sha256()[:12]}), for site {section.name}",
            "",
            "WHO IS ASKED ABOUT",
            *_who(experiment, section, people, splits),
            "",
            "WHAT IS TRAINED",
            *_what(experiment, section, cost),
            "",
            "WHAT LEAVES, HOW OFTEN AT MOST, AND ABOUT HOW MANY PEOPLE",
            *_wrapped(f"to the operator of {recipient}; results of the federation reach the other sites, too"),
            *_leaves(experiment, section, declared, withholds),
            "",
            "WHAT COULD BE INFERRED AT WORST",
            *_worst(experiment, section.policy, cost),
            "",
            *_wrapped("You can stop later answers with `fedtune3d site revoke`; what has left cannot be recalled.", ""),
            *_wrapped("More in docs/threat-model.md and docs/dpia.md.", ""),
        ]
    )


def _who(experiment: Experiment, section: SiteSection, people: ByClass, splits: Mapping[str, ByClass]) -> Iterator[str]:
    labels = experiment.labels_of(section)
    if (criterion := experiment.criterion_of(section)) is not None:
        yield from _wrapped(f"only rows of the table that meet: {criterion}")
    yield from _what_is_predicted(labels, people)
    train, validation, test = (sum(splits[split]) for split in SPLITS)
    yield from _wrapped(f"of these people {train} for training, {validation} for validation, {test} for testing")
    if (fold := experiment.fold) is not None:
        yield from _wrapped(
            f"the people for testing are fold {fold.number} of {fold.folds} of a cross-validation (repeat "
            f"{fold.repeat}); in another fold, an experiment of its own, they are used for training"
        )
    sessions = section.sessions if isinstance(section.sessions, str) else ", ".join(section.sessions)
    columns = ", ".join(experiment.wanted_of(section).columns)
    yield from _wrapped(
        f"read here: T1-weighted scans (sessions: {sessions}), and from the table {columns}, ids, age and sex"
    )
    if small := small_splits(splits, section.policy):
        yield from _wrapped(
            f"fewer than {section.policy.min_people} people of a class in {' and '.join(sorted(small))}: no number "
            "about these sets leaves, and no total over all"
            + ("; this site will not train" if "train" in small else "")
        )


def _what_is_predicted(labels: Truth, people: ByClass) -> Iterator[str]:
    if isinstance(labels, NumberColumn):
        outcome = labels.outcome
        limits = f"{outcome.minimum:g} to {outcome.shown(outcome.maximum, 0)}"
        yield from _wrapped(f"everyone with a number in column {outcome.column}, {limits} ({people[0]} people here)")
        return
    for (name, wanted), count in in_shown_order(zip(labels.classes.items(), people, strict=True)):
        expression = wanted if isinstance(wanted, str) else f"diagnosis is {' or '.join(wanted)}"
        yield from _wrapped(f"{class_title(name)}: {expression} ({count} people here)")


def _what(experiment: Experiment, section: SiteSection, cost: Forecast | None) -> Iterator[str]:
    training, participation, method = experiment.training, experiment.participation, experiment.tuning.method
    encoder, head, epochs = experiment.model.encoder, experiment.head_name(), training.local_epochs
    trained = {
        "frozen": f"the head {head}; the encoder {encoder} is frozen",
        "lora": f"the head {head} and adapters (LoRA) in the encoder {encoder}, whose own weights are frozen",
        "full": f"all weights of {encoder}" if head == encoder else f"the head {head} and all of the encoder {encoder}",
    }
    yield from _wrapped(trained[method])
    yield from _own_code(experiment)
    others = ", ".join(site.name for site in experiment.sites if site.name != section.name)
    rule = rule_title(experiment.aggregation.rule)
    yield from _wrapped(f"with {others or 'no other site'}; updates are combined by {rule}")
    per_round = f"{epochs} pass{'es' * (epochs > 1)} over the training scans, {training.batch_size} at a time"
    if training.min_steps:
        per_round += f", repeated until there are at least {training.min_steps} steps"
    if cost is not None:
        per_round = _private_steps(cost, experiment.privacy.clip)
    yield from _wrapped(
        f"{training.rounds} rounds, each at most {1 + participation.retries} times; per round {per_round}"
    )
    rates = f"{training.head_learning_rate:g} for the head"
    if method != "frozen":
        rates += f", {training.encoder_learning_rate:g} for the encoder"
    yield from _wrapped(f"optimizer {training.optimizer}, learning rate {rates}")
    if experiment.baselines:
        named = ", ".join(name.replace("_", " ") for name in experiment.baselines)
        yield from _wrapped(f"for comparison, models trained in as many rounds: {named}")


def _own_code(experiment: Experiment) -> Iterator[str]:
    """Yield what an encoder that is not part of this program means for the site."""
    if sha256 := experiment.model.encoder_sha256:
        yield from _wrapped(
            f"the encoder {experiment.model.encoder} is a file that this site has installed, not part of fedtune3d "
            f"(SHA-256 {sha256}): it is code that runs here, and the checks of what leaves cannot contain it. Whoever "
            "approves this has read it, or trusts its author."
        )


def _leaves(
    experiment: Experiment, section: SiteSection, declared: Callable[[str], AnswerDeclaration], withholds: bool
) -> Iterator[str]:
    """Yield one line per kind of task from which anything about people leaves, updates first."""
    lines = []
    for kind, count in _times(experiment, section.name).items():
        answer = declared(kind)
        entries = [*answer.fields.values(), *answer.parts.values()]
        meanings = [entry for entry in entries if _leaves_here(entry, withholds) and _allowed(kind, entry, section)]
        if experiment.privacy.secure_aggregation:  # updates leave under masks, in a task of their own
            meanings = [entry for entry in meanings if entry.reveals is not Reveals.TENSOR]
        if meanings and count:
            people = " or ".join(sorted({_people(entry, section.policy) for entry in meanings}))
            is_update = any(entry.reveals in UPDATES for entry in meanings)
            lines.append((not is_update, kind, f"{count} × {_contents(answer, meanings)} ({people})"))
    for _, _, line in sorted(lines):
        yield from _wrapped(line)
    if withholds:
        yield from _wrapped(
            f"Counts and statistics are withheld: {WITHHELD}. But the updates of the two experiments, subtracted, are "
            "about those few."
        )


def _times(experiment: Experiment, site: str) -> dict[str, int]:
    times: dict[str, int] = {}
    for purpose, allowance in budget_of(experiment, site).items():
        kind = purpose.split()[0]
        times[kind] = times.get(kind, 0) + allowance.times
    return times


def _contents(answer: AnswerDeclaration, meanings: Sequence[Declaration]) -> str:
    """Put into words what leaves; the kind's own words where more than an update does."""
    revealed = {entry.reveals for entry in meanings}
    words = [_UPDATES[reveals] for reveals in UPDATES if reveals in revealed]
    if revealed - set(UPDATES):
        words.append(answer.contents)
    if Reveals.IDENTIFIER in revealed and len(revealed) > 1:
        words.append("pseudonyms of declared groups")
    return ", ".join(words)


_UPDATES = {
    Reveals.TENSOR: "the update (all trained weights)",
    Reveals.MASKED: "the update under a mask (only the sum over the sites can be read)",
}


def _leaves_here(entry: Declaration, withholds: bool) -> bool:
    return entry.reveals in UPDATES if withholds else entry.reveals is not Reveals.NOTHING


def _allowed(kind: str, entry: Declaration, section: SiteSection) -> bool:
    """Check that the site's settings let this field leave at all."""
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
            return _or_more(getattr(policy, key))
    return _or_more(policy.min_people)


def _or_more(people: int) -> str:
    return "1 person or more" if people == 1 else f"{people} people or more"


def _private_steps(cost: Forecast, clip: float) -> str:
    mechanism = cost.mechanism
    who = "all" if mechanism.sampling_rate == 1 else f"a random {mechanism.sampling_rate:.0%}"
    return (
        f"{mechanism.steps} step{'s' * (mechanism.steps > 1)} over {who} of the people in training; each person's "
        f"gradient has a norm of at most {clip:g}, and noise of {mechanism.noise_multiplier:g} times that is added to "
        "their sum"
    )


def _protection(privacy: DifferentialPrivacy, cost: Forecast, delta: float) -> Iterator[str]:
    """Yield what differential privacy protects, what it costs, and what it leaves open."""
    yield from _wrapped(guarantee(privacy))
    limit = "no limit (policy.max_epsilon)" if cost.max_epsilon is None else f"a limit of {cost.max_epsilon:g}"
    yield from _wrapped(
        f"Spent on these people so far: epsilon {cost.spent:.3g} at delta {delta:g}; with this experiment "
        f"{cost.after:.3g}, of {limit}."
    )
    if cost.affordable < cost.rounds:
        yield from _wrapped(
            f"That is enough for {cost.affordable} of {cost.rounds} rounds; then this site stops training by itself."
        )
    yield from _wrapped(
        "It covers the updates and the model made of them. It does not cover what else leaves: counts, validation "
        "scores, descriptions of scans, features and people, and test results."
    )


def _worst(experiment: Experiment, policy: Policy, cost: Forecast | None) -> Iterator[str]:
    privacy = experiment.privacy.differential
    if privacy is not None and cost is not None:
        yield from _protection(privacy, cost, policy.max_delta)
    if experiment.privacy.secure_aggregation:
        yield from _wrapped(
            "The server sees the sum of the sites' updates and not this site's own, unless more than a third of the "
            "sites help it. If they do not, what follows holds for the sum."
        )
    if privacy is not None:
        yield from _wrapped("Within these bounds, what follows holds.")
    yield from _wrapped(
        "The updates and the final model allow guesses about who was in the training set, and scans can be "
        "approximated. The risk grows with the number of trained weights, and is greater with few people and few "
        "steps. Each evaluation tries the guess with the final model, and the report says how often it is right."
    )
    if experiment.training.optimizer == "sgd":
        yield from _wrapped("With sgd and few steps an update is close to a mean over the training scans.")
    yield from _wrapped(
        "A server that breaks the protocol can send a model that singles out one person, and read that person's image "
        "features (numbers computed from the scan) from the update."
    )
    if experiment.tuning.method == "full":
        yield from _wrapped("The whole encoder leaves, which reveals most about single scans.")
    if LEAVE_ONE_SITE_OUT in experiment.baselines:
        yield from _wrapped("Leave one site out trains on the same people once for each other site.")
    if policy.predictions_leave:
        predicted = "number" if isinstance(experiment.outcome, NumberOutcome) else "probability"
        yield from _wrapped(f"The predicted {predicted} of each test scan leaves, without a name.")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    visible = one_line(text, longest=sys.maxsize)  # an experiment's words come from elsewhere
    return textwrap.wrap(visible, WIDTH, initial_indent=indent, subsequent_indent=indent * 2, break_on_hyphens=False)
