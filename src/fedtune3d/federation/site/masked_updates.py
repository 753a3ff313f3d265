"""A site's updates on their way into a sum: kept at the site, and sent under masks only."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field

from fedtune3d._utils.folders import MaskingPaths
from fedtune3d._utils.state_dicts import State, load_state, save_state, state_sha256
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.secure_aggregation.messages import Attempt, Dealing, Plan, Revealed, SignedKeys
from fedtune3d.federation.privacy.secure_aggregation.site_part import OwnView, SiteAttempt, SitePart
from fedtune3d.federation.privacy.secure_aggregation.vectors import flatten, layout_sha256
from fedtune3d.training.faults import SiteFault

VALUES = "values"
_ADVICE = "remove the folder and start the run again under another name or seed"


@dataclass(frozen=True)
class KeptUpdate:
    """The site's record of the last attempt; the values of its update are in a file of their own.

    Attributes:
        kept: The secrets, and how far the attempt has come.
        view: What the site knows of its task and its values.
        values_sha256: SHA-256 of the file of values, so that no others are sent under the masks of this attempt.
        people: People behind the update.
    """

    kept: SiteAttempt
    view: OwnView
    values_sha256: str
    people: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class RoundTask:
    """The one training task of a round, whichever attempt it is asked in, and whether or not an update came of it.

    Attributes:
        experiment: SHA-256 of the experiment.
        round: The round.
        received_sha256: SHA-256 of the tensors that came with it.
        retry_sha256: SHA-256 of what else it says in every attempt.
    """

    experiment: str
    round: Annotated[int, Field(ge=1)]
    received_sha256: str
    retry_sha256: str


class MaskedUpdates:
    """The steps of an attempt at a site, each on disk before its answer leaves, so that a restart changes nothing.

    Args:
        name: The site's name.
        experiment: SHA-256 of the experiment.
        paths: Where the site keeps secrets and values.
        part: The site's key, whom it trusts, and how great a share it allows.
    """

    def __init__(self, name: str, experiment: str, paths: MaskingPaths, part: SitePart) -> None:
        self.name = name
        self.experiment = experiment
        self.paths = paths
        self.part = part

    def require_one_task(self, round_: int, received: str, retry: str) -> None:
        """Hold a round to the first training task that is asked in it, before anything is computed for it.

        What leaves with each attempt, and that an update is refused, would otherwise answer a question about the
        training scans per state that the server makes up.

        Args:
            round_: The round.
            received: SHA-256 of the tensors that came with the task.
            retry: SHA-256 of what else the task says in every attempt at the round.

        Raises:
            Refusal: If another training task was asked in this round, or any in a later one.
        """
        task = RoundTask(self.experiment, round_, received, retry)
        last = read_typed(RoundTask, self.paths.task, _ADVICE) if self.paths.task.exists() else None
        if last == task:
            return
        if last is not None and last.experiment == self.experiment:
            if round_ < last.round:
                raise Refusal(f"secure aggregation: round {round_} comes before round {last.round}, which was begun")
            if round_ == last.round:
                raise Refusal(f"secure aggregation: another training task in a second attempt at round {round_}")
        write_typed(self.paths.task, task)

    def begin(
        self, round_: int, number: int, people: int, values: Mapping[str, State], received: str, training: str
    ) -> SignedKeys:
        """Keep an update, and return fresh keys for an attempt to add it up.

        Args:
            round_: The round.
            number: The attempt, from 1.
            people: People behind the update.
            values: What the site adds to the sum, by part, before its coefficient.
            received: SHA-256 of the tensors that came with the task.
            training: SHA-256 of what else the task says to every site.

        Raises:
            Refusal: If the attempt may not follow the last one.
        """
        last = self._read() if self.paths.attempt.exists() else None
        attempt = Attempt(self.experiment, round_, number)
        kept = self.part.begin(self.name, attempt, last.kept if last is not None else None)
        vector = {VALUES: flatten(values)}
        save_state(self.paths.values, vector, durable=False)
        view = OwnView(received, training, layout_sha256(values))
        self._write(KeptUpdate(kept, view, state_sha256(vector), people))
        return kept.keys

    def deal(self, round_: int, number: int, roster: Mapping[str, SignedKeys]) -> Dealing:
        """Share the secrets of the attempt."""
        update = self._current(round_, number)
        kept, dealing = self.part.deal(update.kept, roster)
        self._write(replace(update, kept=kept))
        return dealing

    def mask(self, round_: int, number: int, plan: Plan, sealed: Mapping[str, str]) -> tuple[int, torch.Tensor]:
        """Return the people behind the update, and its words under masks."""
        update = self._current(round_, number)
        vector = load_state(self.paths.values)
        if state_sha256(vector) != update.values_sha256:
            raise SiteFault("the update of this attempt is no longer kept")
        try:
            kept, words = self.part.mask(update.kept, plan, sealed, update.view, vector[VALUES])
        except Refusal:
            raise
        except ValueError as error:
            raise SiteFault(f"the update does not fit into the sum: {error}") from error
        self._write(replace(update, kept=kept))
        return update.people, words

    def confirm(self, round_: int, number: int, survivors: tuple[str, ...]) -> str:
        """Sign the list of survivors."""
        update = self._current(round_, number)
        kept, signature = self.part.confirm(update.kept, survivors)
        self._write(replace(update, kept=kept))
        return signature

    def reveal(self, round_: int, number: int, signatures: Mapping[str, str]) -> Revealed:
        """Return the shares that unmask the sum over the survivors."""
        return self.part.reveal(self._current(round_, number).kept, signatures)

    def _current(self, round_: int, number: int) -> KeptUpdate:
        wanted = Attempt(self.experiment, round_, number)
        update = self._read() if self.paths.attempt.exists() else None
        if update is None or update.kept.attempt != wanted:
            raise Refusal(f"secure aggregation: this site is not in attempt {number} at round {round_}")
        return update

    def _read(self) -> KeptUpdate:
        return read_typed(KeptUpdate, self.paths.attempt, _ADVICE)

    def _write(self, update: KeptUpdate) -> None:
        write_typed(self.paths.attempt, update, private=True)
