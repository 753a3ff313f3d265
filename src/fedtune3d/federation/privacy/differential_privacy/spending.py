"""The spending of a site: every noised release about its people, over all experiments, and the budget it must fit.

A hash-chained file holds two lines per release: ``charged`` before anything is drawn for it, and ``kept`` once it is on
the disk, from where it may leave. A release that was charged and not kept has left nobody, so it is drawn without
another charge; one that was kept is never drawn again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fedtune3d._utils.clock import timestamp
from fedtune3d._utils.counted_ledgers import append_counted_line, read_typed_lines
from fedtune3d._utils.typed_json import to_json
from fedtune3d.config.privacy import DifferentialPrivacy
from fedtune3d.federation.privacy.differential_privacy.accounting import epsilon_of
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.training.private import SampledGaussian

TOLERANCE = 1e-6
"""Relative; of comparisons of sums of the same numbers in another order."""


@dataclass(frozen=True)
class Spent:
    """The privacy budget that an experiment has cost each person in training at a site so far.

    Attributes:
        epsilon: ε, at the experiment's δ.
        noise_multiplier: Of the last round.
        sampling_rate: Of the last round.
    """

    epsilon: Annotated[float, Field(ge=0)]
    noise_multiplier: Annotated[float, Field(gt=0)]
    sampling_rate: Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class SpendingLine:
    """One line of the file.

    Attributes:
        time: Time by the site's clock, with its offset from UTC.
        what: ``charged`` before a release is drawn, ``kept`` once it is on the disk.
        experiment: The experiment.
        round: The round.
        release: The hash of all that the release follows from, the draws left out.
        noise_multiplier, sampling_rate, steps: The mechanism of the round.
        people: The hashes of the people in training; empty in a line ``kept``.
    """

    time: str
    what: Literal["charged", "kept"]
    experiment: str
    round: int
    release: str
    noise_multiplier: float
    sampling_rate: float
    steps: int
    people: tuple[str, ...] = ()

    @property
    def mechanism(self) -> SampledGaussian:
        """The mechanism of the round."""
        return SampledGaussian(self.noise_multiplier, self.sampling_rate, self.steps)


@dataclass(frozen=True)
class Budget:
    """A site's limit on ε about any person, over all experiments; `max_epsilon` is None for no limit."""

    max_epsilon: float | None
    delta: float


class Spending:
    """The spending of one experiment at a site, in the file of all experiments.

    Args:
        path: The file.
        site: The site's name.
        experiment: The experiment, by its hash or by its name where all are of one run.
        privacy: What it promises.
        budget: The site's own limit.
    """

    def __init__(self, path: Path, site: str, experiment: str, privacy: DifferentialPrivacy, budget: Budget) -> None:
        self.path = path
        self.site = site
        self.experiment = experiment
        self.privacy = privacy
        self.budget = budget

    def charge(self, round_: int, release: str, mechanism: SampledGaussian, people: Sequence[str]) -> SampledGaussian:
        """Charge a release before anything is drawn for it; nothing if it is charged already.

        Returns:
            The mechanism that was charged, by which the release must be drawn.

        Raises:
            Refusal: If another release of the same round was charged, or this one for other people only, or the
                experiment or the site's budget is spent.
        """
        lines = list(read_spending(self.path))
        earlier = [line for line in _charged(lines) if line.experiment == self.experiment]
        of_round = [line for line in earlier if line.round == round_]
        if of_round and of_round[0].release == release:
            if not set(people) <= set(of_round[0].people):
                raise Refusal(
                    f"privacy.epsilon: round {round_} was not charged to all people now in training at site {self.site}"
                )
            return of_round[0].mechanism
        if of_round:
            raise Refusal(
                f"privacy.epsilon: site {self.site} has trained in round {round_} already, and another answer would "
                "tell more of each person than the experiment promises"
            )
        own = Counter(line.mechanism for line in earlier)
        own[mechanism] += 1
        if epsilon_of(own, self.privacy.delta) > self.privacy.epsilon * (1 + TOLERANCE):
            raise Refusal(f"privacy.epsilon: {self.privacy.epsilon:g} is spent at site {self.site}")
        self._require_budget(lines, mechanism, people)
        line = SpendingLine(
            timestamp(),
            "charged",
            self.experiment,
            round_,
            release,
            mechanism.noise_multiplier,
            mechanism.sampling_rate,
            mechanism.steps,
            tuple(sorted(set(people))),
        )
        append_counted_line(self.path, to_json(line))
        return mechanism

    def people_of(self, round_: int, release: str) -> frozenset[str]:
        """Return the hashes of the people whom a release was charged to."""
        return frozenset(
            person for line in self._own() if (line.round, line.release) == (round_, release) for person in line.people
        )

    def note_kept(self, round_: int, release: str) -> None:
        """Record that a charged release is on the disk, before it leaves."""
        if self.is_kept(round_, release):
            return
        (line,) = [line for line in self._own() if (line.round, line.release) == (round_, release)]
        append_counted_line(self.path, to_json(replace(line, time=timestamp(), what="kept", people=())))

    def is_kept(self, round_: int, release: str) -> bool:
        """Return whether a release was on the disk, and may have left."""
        return any(
            (line.what, line.experiment, line.round, line.release) == ("kept", self.experiment, round_, release)
            for line in read_spending(self.path)
        )

    def spent(self) -> Spent:
        """Return what the experiment has cost so far. Raises `ValueError` before its first charge."""
        own = self._own()
        if not own:
            raise ValueError(f"{self.path}: nothing was charged for {self.experiment}")
        last = own[-1].mechanism
        epsilon = epsilon_of(Counter(line.mechanism for line in own), self.privacy.delta)
        return Spent(epsilon, last.noise_multiplier, last.sampling_rate)

    def _own(self) -> list[SpendingLine]:
        return [line for line in _charged(read_spending(self.path)) if line.experiment == self.experiment]

    def _require_budget(self, lines: Iterable[SpendingLine], mechanism: SampledGaussian, people: Sequence[str]) -> None:
        most = self.budget.max_epsilon
        if most is None:
            return
        before = most_spent(lines, people, self.budget.delta)
        after = most_spent(lines, people, self.budget.delta, {mechanism: 1})
        if after > most * (1 + TOLERANCE):
            raise Refusal(
                f"policy.max_epsilon of site {self.site} is {most:g}, of which {before:.3g} is spent on the same "
                f"people; another round would make it {after:.3g}"
            )


def most_spent(
    lines: Iterable[SpendingLine],
    people: Iterable[str],
    delta: float,
    more: Mapping[SampledGaussian, int] | None = None,
) -> float:
    """Return ε at `delta` of all releases about the person of `people` that most was spent on.

    Args:
        lines: The file's lines.
        people: The hashes of the people.
        delta: δ.
        more: Rounds to come, about all of them.
    """
    of_person: dict[str, Counter[SampledGaussian]] = {person: Counter(more or {}) for person in people}
    for line in _charged(lines):
        for person in line.people:
            if person in of_person:
                of_person[person][line.mechanism] += 1
    distinct = {frozenset(counts.items()) for counts in of_person.values()}
    return max((epsilon_of(dict(counts), delta) for counts in distinct), default=0.0)


def read_spending(path: Path) -> Iterator[SpendingLine]:
    """Read the lines of all experiments, oldest first. Raises `DamagedFileError`."""
    return read_typed_lines(SpendingLine, path)


def _charged(lines: Iterable[SpendingLine]) -> Iterator[SpendingLine]:
    return (line for line in lines if line.what == "charged")
