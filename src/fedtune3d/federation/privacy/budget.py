"""Number of times that a site answers each kind of task, derived from the approved experiment alone.

Tasks of one kind are distinguished by their namespace and by `Instruction.purpose`: evaluating the local baseline is
not evaluating the federated model. Tasks that the experiment does not need have no allowance.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import LEAVE_ONE_SITE_OUT, LOCAL, Task, without
from fedtune3d.federation.participation import choose_participants
from fedtune3d.models.assembly import RESNET18

OUTSIDE_ROUNDS = frozenset({0})
SECURE_STEPS = ("share_secrets", "mask_update", "confirm_survivors", "reveal_shares")
ATTEMPTS_PER_TRY = 4
"""Attempts at a secure sum for each try at a round: a server that is restarted in the middle begins another."""


@dataclass(frozen=True)
class Allowance:
    """The allowance of one purpose.

    Attributes:
        times: Maximum number of different tasks.
        rounds: The rounds that they may belong to; `OUTSIDE_ROUNDS` for tasks before and after the rounds.
        per_round: Maximum number of different tasks in each of these rounds.
    """

    times: int
    rounds: frozenset[int] = OUTSIDE_ROUNDS
    per_round: int = 1


def purpose_of(task: Task) -> str:
    """Return the purpose of a task, such as ``evaluate local`` or ``train fedavg (without-utrecht)``."""
    words = " ".join(filter(None, (task.kind, task.instruction.purpose)))
    return f"{words} ({task.namespace})" if task.namespace else words


def budget_of(experiment: Experiment, site: str) -> dict[str, Allowance]:
    """Return the tasks that a run of the experiment, and a `server check` before it, need from one of its sites.

    Args:
        experiment: The approved experiment.
        site: The site's name.

    Returns:
        Purpose (`purpose_of`) → allowance.
    """
    once = (
        *("count_scans", "assign_splits", "describe_people"),
        *("fingerprint_scans near", "fingerprint_scans exact"),
        *("profile_intensities range", "profile_intensities density"),
        *_evaluations(experiment, site),
        *_descriptions_of_the_result(experiment),
    )
    allowed = {purpose: Allowance(1) for purpose in once if purpose}
    for rounds in _trainings(experiment, site):
        allowed |= rounds
    return allowed


def training_rounds(experiment: Experiment, site: str) -> list[int]:
    """Return the rounds of the federation for which a site is drawn to train."""
    sites = tuple(section.name for section in experiment.sites)
    last = experiment.training.rounds
    return [round_ for round_ in range(1, last + 1) if _trains(experiment, site, sites, round_)]


def _trains(experiment: Experiment, site: str, sites: tuple[str, ...], round_: int) -> bool:
    return site in choose_participants(sites, experiment.participation.fraction, experiment.seed, round_)


def _evaluations(experiment: Experiment, site: str) -> Iterator[str]:
    """Yield one purpose per method; for leave-one-site-out also the validation counts for each left-out site."""
    yield "evaluate federated"
    if LOCAL in experiment.baselines:
        yield f"evaluate {LOCAL}"
    if LEAVE_ONE_SITE_OUT in experiment.baselines:
        yield f"evaluate {LEAVE_ONE_SITE_OUT}"
        for other in _others(experiment, site):
            yield f"evaluate {LEAVE_ONE_SITE_OUT} {without(other)} ({without(other)})"


def _descriptions_of_the_result(experiment: Experiment) -> Iterator[str]:
    if experiment.model.encoder != RESNET18:
        yield "describe_features"
    if experiment.explain is not None:
        yield from ("map_saliency trained", "map_saliency random")


def _trainings(experiment: Experiment, site: str) -> Iterator[Mapping[str, Allowance]]:
    """Yield the rounds of the federation, and of each baseline for which the site trains."""
    sites = tuple(section.name for section in experiment.sites)

    def trains_among(names: tuple[str, ...]) -> Callable[[int], bool]:
        return lambda round_: _trains(experiment, site, names, round_)

    rule = experiment.rule().name
    yield _rounds(experiment, rule, "", trains_among(sites))
    if LOCAL in experiment.baselines:
        yield _rounds(experiment, experiment.rule_of_one().name, LOCAL, lambda round_: True)
    if LEAVE_ONE_SITE_OUT in experiment.baselines:
        for left_out in _others(experiment, site):
            names = tuple(name for name in sites if name != left_out)
            yield _rounds(experiment, rule, without(left_out), trains_among(names))


def _rounds(experiment: Experiment, rule: str, namespace: str, trains: Callable[[int], bool]) -> dict[str, Allowance]:
    """Allow training in rounds for which the site is drawn, else scoring, and scoring after the last; with retries."""
    tries, last = 1 + experiment.participation.retries, experiment.training.rounds
    training = frozenset(round_ for round_ in range(1, last + 1) if trains(round_))
    scoring = frozenset(range(1, last + 2)) - training
    suffix = f" ({namespace})" if namespace else ""
    allowed = {
        f"train {rule}{suffix}": Allowance(len(training) * tries, training, tries),
        f"score{suffix}": Allowance(len(scoring) * tries, scoring, tries),
    }
    if experiment.privacy.secure_aggregation:
        attempts = tries * ATTEMPTS_PER_TRY
        for purpose in (f"train {rule}", *SECURE_STEPS):
            allowed[purpose] = Allowance(len(training) * attempts, training, attempts)
    return allowed


def _others(experiment: Experiment, site: str) -> list[str]:
    return [section.name for section in experiment.sites if section.name != site]
