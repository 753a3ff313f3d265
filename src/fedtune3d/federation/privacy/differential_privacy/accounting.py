"""Accounting of differential privacy: ε of noised sums, and the noise for an ε.

Privacy loss distributions (Koskela et al. 2020, arXiv:1906.03049) by Google's `dp-accounting`, which rounds ε up.
Neighbouring data sets differ in one person's scans; the number of people in training counts as known.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from fedtune3d.config.privacy import DifferentialPrivacy
from fedtune3d.training.private import SampledGaussian
from fedtune3d.training.settings import TrainingSettings

if TYPE_CHECKING:
    from dp_accounting import DpEvent

INTERVAL = 1e-3
"""Width of the bins of a privacy loss; narrower ones take longer and lower ε by less than 0.1%."""
UNITS = 1000
"""Units of a noise multiplier, which is rounded up to one."""


def epsilon_of(releases: Mapping[SampledGaussian, int], delta: float) -> float:
    """Return ε at `delta` of so many rounds of each mechanism together; 0 for none, infinite without noise."""
    rounds = tuple(sorted((mechanism, count) for mechanism, count in releases.items() if count))
    return _epsilon_of(rounds, delta) if rounds else 0.0


@lru_cache(maxsize=1024)
def _epsilon_of(rounds: tuple[tuple[SampledGaussian, int], ...], delta: float) -> float:
    if any(mechanism.noise_multiplier == 0 for mechanism, _ in rounds):
        return math.inf
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=INTERVAL)
    for mechanism, count in rounds:
        accountant.compose(event_of(mechanism), mechanism.steps * count)
    return float(accountant.get_epsilon(delta))


def event_of(mechanism: SampledGaussian) -> "DpEvent":
    """Return one step of a mechanism as accountants of `dp-accounting` read it."""
    import dp_accounting

    gaussian = dp_accounting.GaussianDpEvent(mechanism.noise_multiplier)
    rate = mechanism.sampling_rate
    return gaussian if rate == 1 else dp_accounting.PoissonSampledDpEvent(rate, gaussian)


def mechanism_of(privacy: DifferentialPrivacy, training: TrainingSettings, people: int, rounds: int) -> SampledGaussian:
    """Return a site's mechanism per round: with the least noise for which all rounds stay within ε.

    Args:
        privacy: The guarantee, over all rounds.
        training: Batches and epochs.
        people: People in training at the site, at least 1.
        rounds: The rounds in which the site trains.
    """
    rate, per_epoch = 1.0, 1
    if privacy.sampling == "poisson" and training.batch_size < people:
        rate, per_epoch = training.batch_size / people, math.ceil(people / training.batch_size)
    passes = max(training.local_epochs, math.ceil(training.min_steps / per_epoch))
    steps, rounds = per_epoch * passes, max(rounds, 1)
    return SampledGaussian(least_noise(privacy.epsilon, privacy.delta, rate, steps * rounds), rate, steps)


@lru_cache(maxsize=256)
def least_noise(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Return the least noise multiplier with which `steps` noised sums over a fraction `rate` stay within ε."""

    def within(thousandths: int) -> bool:
        mechanism = SampledGaussian(thousandths / UNITS, rate, steps)
        return epsilon_of({mechanism: 1}, delta) <= epsilon

    guess = max(0.5, rate * math.sqrt(2 * steps * math.log(1 / delta)) / epsilon)
    low = high = math.ceil(guess * UNITS)
    while not within(high):
        low, high = high, high * 2
    while low == high and high > 1:
        low, high = (high // 2, high) if not within(high // 2) else (high // 2, high // 2)
    while high - low > max(1, high // 1000):
        middle = (low + high) // 2
        low, high = (low, middle) if within(middle) else (middle, high)
    return high / UNITS
