"""Forecast of the privacy budget that an experiment will cost the people of a site, before anything runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp

from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.config.privacy import DifferentialPrivacy
from fedtune3d.federation.privacy.budget import training_rounds
from fedtune3d.federation.privacy.differential_privacy.accounting import mechanism_of
from fedtune3d.federation.privacy.differential_privacy.spending import TOLERANCE, SpendingLine, most_spent
from fedtune3d.federation.privacy.minimums import require_small_delta
from fedtune3d.training.private import SampledGaussian


@dataclass(frozen=True)
class Forecast:
    """The cost of an experiment at a site.

    Attributes:
        site: The site's name.
        people: People in training.
        mechanism: The mechanism of each round.
        rounds: Rounds in which the site trains.
        affordable: Those among them that `policy.max_epsilon` allows.
        spent: ε about the person that most was spent on by earlier experiments, at `policy.max_delta`.
        after: The same with all affordable rounds of this one.
        max_epsilon: The site's limit; None for none.
    """

    site: str
    people: int
    mechanism: SampledGaussian
    rounds: int
    affordable: int
    spent: float
    after: float
    max_epsilon: float | None


def forecast(
    experiment: Experiment,
    site: str,
    policy: Policy,
    people: int,
    hashes: Sequence[str] = ("anyone",),
    lines: Iterable[SpendingLine] = (),
) -> Forecast | None:
    """Return what an experiment costs at a site; None without differential privacy.

    Args:
        experiment: The experiment.
        site: The site's name.
        policy: Its policy.
        people: People in training; those who share a group count once.
        hashes: Their hashes.
        lines: The site's spending so far.

    Raises:
        Refusal: If δ is too great for so many people.
    """
    privacy = experiment.privacy.differential
    if privacy is None:
        return None
    require_small_delta(privacy, people, site)
    rounds, before = len(training_rounds(experiment, site)), list(lines)
    mechanism = mechanism_of(privacy, experiment.training, people, rounds)

    def after(count: int) -> float:
        return most_spent(before, hashes, policy.max_delta, {mechanism: count})

    affordable, most = rounds, policy.max_epsilon
    if most is not None and after(rounds) > most * (1 + TOLERANCE):
        low, high = 0, rounds
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if after(middle) <= most * (1 + TOLERANCE) else (low, middle)
        affordable = low
    spent = most_spent(before, hashes, policy.max_delta)
    return Forecast(site, people, mechanism, rounds, affordable, spent, after(affordable), most)


def guarantee(privacy: DifferentialPrivacy) -> str:
    """Say for a reader without statistics what ε and δ promise."""
    factor = exp(privacy.epsilon)
    times = f"{factor:.3g}" if factor < 1e4 else "more than 10,000"
    return (
        f"Differential privacy (epsilon {privacy.epsilon:g}, delta {privacy.delta:g}): whoever sees all updates, "
        f"the odds that a given person was in the training change by a factor of at most {times}, but for a chance of "
        f"{privacy.delta:g}."
    )
