"""Settings of the round loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from fedtune3d.federation.participation import choose_participants
from fedtune3d.training.settings import BestRound


@dataclass(frozen=True)
class RoundSettings:
    """Number of rounds, participation, and limits on updates.

    Attributes:
        rounds: Number of rounds.
        seed: The run's seed, from which the participants of each round are drawn.
        fraction: Fraction of the sites that train in each round.
        quorum: Minimum number of accepted updates per round; None for half of the sites asked, rounded up.
        deadline_seconds: Time limit for a site's task; None for no limit.
        retries: How often a round without a quorum is repeated before the run stops.
        max_norm: Maximum norm of a site's change of the state.
        max_norm_ratio: Maximum ratio of a change's norm per local step to the round's median; checked if at least
            `update_checks.FEWEST_TO_COMPARE` sites sent an update.
        local_steps: Returns about how many steps of the optimiser a site takes per round with so many training scans.
        best_round: How the state to evaluate is chosen (`best_round.is_best`).
        participants: Returns the sites that train in a round, instead of a random draw; lets a run follow another's
            record.
        secure_experiment: The experiment's SHA-256 under secure aggregation; None where the server sees each update.
        max_share: The greatest share of a secure sum that a site may have.
    """

    rounds: int
    seed: int = 0
    fraction: float = 1.0
    quorum: int | None = None
    deadline_seconds: float | None = None
    retries: int = 1
    max_norm: float = 1e6
    max_norm_ratio: float = 10.0
    local_steps: Callable[[int], int] = lambda examples: max(1, examples)
    best_round: BestRound = "latest_within_error"
    participants: Callable[[int], tuple[str, ...]] | None = None
    secure_experiment: str | None = None
    max_share: float = 0.6

    def chosen(self, sites: tuple[str, ...], round_: int) -> tuple[str, ...]:
        """Return the sites that are asked to train in a round, sorted."""
        if self.participants is not None:
            return tuple(sorted(self.participants(round_)))
        return choose_participants(sites, self.fraction, self.seed, round_)

    def needed(self, asked: int) -> int:
        """Return the quorum among `asked` sites."""
        return math.ceil(asked / 2) if self.quorum is None else min(self.quorum, asked)
