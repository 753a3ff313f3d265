"""A site's rounds under differential privacy: each is charged, drawn once, kept, and from then on only repeated."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fedtune3d._utils.folders import release_of_round, releases_of_rounds
from fedtune3d._utils.state_dicts import State, load_info, load_state, save_state
from fedtune3d.config.privacy import DifferentialPrivacy
from fedtune3d.federation.privacy.differential_privacy.spending import Spending, Spent
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.serialisation import flat_state
from fedtune3d.training.draws import MakeDraws
from fedtune3d.training.local import LocalRound, TrainingResult
from fedtune3d.training.private import Protection, SampledGaussian

_TRAINED, _SEPARATOR = "trained", "/"
Trained = tuple[TrainingResult, State]
"""The result of a round and the state after it."""


class PrivateRounds:
    """The releases of one experiment at a site.

    Args:
        spending: What the experiment and those before it have cost.
        folder: The folder of kept releases.
        privacy: What the experiment promises.
        mechanism: The mechanism of each round.
        people: The hashes of the people in training.
        make_draws: Makes the draws of a round.
    """

    def __init__(
        self,
        spending: Spending,
        folder: Path,
        privacy: DifferentialPrivacy,
        mechanism: SampledGaussian,
        people: Sequence[str],
        make_draws: MakeDraws,
    ) -> None:
        self.spending = spending
        self.folder = folder
        self.privacy = privacy
        self.mechanism = mechanism
        self.people = people
        self.make_draws = make_draws

    def release(self, local_round: LocalRound, causes: str, train: Callable[[Protection], Trained]) -> Trained:
        """Return a round's result: the kept one, or a new one that is on the disk when this returns.

        Args:
            local_round: The round.
            causes: The hash of the task, equal in all its attempts.
            train: Trains under a protection; called at most once.

        Raises:
            Refusal: If the budget is spent, another release of the round was drawn, or this one is no longer kept.
        """
        round_ = local_round.round
        path = release_of_round(self.folder, round_, causes)
        mechanism = self.spending.charge(round_, causes, self.mechanism, self.people)
        if self.spending.people_of(round_, causes) - set(self.people):
            path.unlink(missing_ok=True)  # somebody has withdrawn, perhaps while it was being written
        if path.exists():
            kept = _read(path)
        elif self.spending.is_kept(round_, causes):
            raise Refusal(
                f"privacy.epsilon: what was released in round {round_} is no longer kept, and is not drawn again"
            )
        else:
            kept = train(Protection(mechanism, self.privacy.clip, self.make_draws(local_round)))
            _write(path, kept)
        self.spending.note_kept(round_, causes)
        for earlier, old in releases_of_rounds(self.folder):
            if earlier < round_:
                old.unlink(missing_ok=True)
        return kept

    def spent(self) -> Spent:
        """Return what the experiment has cost so far."""
        return self.spending.spent()


def _write(path: Path, release: Trained) -> None:
    result, trained = release
    info = {"examples": result.examples, "steps": result.steps, "seconds": result.seconds}
    save_state(path, flat_state({_TRAINED: trained, **result.parts}), info | {"parts": sorted(result.parts)})


def _read(path: Path) -> Trained:
    info = load_info(path)
    parts: dict[str, State] = {_TRAINED: {}, **{str(name): {} for name in _names(info["parts"])}}
    for name, tensor in load_state(path).items():
        part, _, inner = name.partition(_SEPARATOR)
        parts[part][inner] = tensor
    trained = parts.pop(_TRAINED)
    examples, steps, seconds = (info[key] for key in ("examples", "steps", "seconds"))
    return TrainingResult(None, int(str(examples)), int(str(steps)), float(str(seconds)), parts), trained


def _names(value: object) -> list[str]:
    assert isinstance(value, list)  # as `_write` wrote it
    return [str(name) for name in value]
