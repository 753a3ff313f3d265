"""The updates of a round between their arrival and the rule: in memory if they are few, else on disk."""

import shutil
from collections.abc import Iterable, Mapping
from functools import partial

import torch

from fedtune3d._utils.folders import RoundsPaths
from fedtune3d._utils.state_dicts import State, load_state, save_state
from fedtune3d.aggregation.contract import Update
from fedtune3d.federation.messages import Answer, parts_bytes
from fedtune3d.federation.tasks.train import TrainAnswer

KEPT_BYTES = 32_000_000
"""Bytes of a round's updates that stay in memory: those of four sites with CONV S, or of 10,000 with a linear head."""


class ArrivedUpdates:
    """The updates of a round, in memory if all of them will fit into `KEPT_BYTES`, and on disk if not.

    Args:
        paths: The files of the rounds. Updates of an earlier round, or of a killed process, are removed from them.
        expected: How many updates can come, all of one size.
    """

    def __init__(self, paths: RoundsPaths, expected: int) -> None:
        self._paths = paths
        self._expected = expected
        self._kept: dict[str, Mapping[str, State]] = {}
        self._names: dict[str, dict[str, tuple[str, ...]]] = {}
        shutil.rmtree(paths.spool, ignore_errors=True)

    def add(self, answer: Answer) -> Update:
        """Keep an update. Raises `StorageError` if it cannot be written to disk."""
        site, payload = answer.site, answer.expect(TrainAnswer)
        if parts_bytes(answer.parts) * self._expected <= KEPT_BYTES:
            self._kept[site] = answer.parts
        else:
            self._write(site, answer.parts)
        scores, loss, scalars = payload.scores, payload.received_training_loss, payload.scalars
        return Update(site, payload.examples or 0, partial(self._load, site), scores, loss, scalars)

    def _write(self, site: str, parts: Mapping[str, State]) -> None:
        self._names[site] = {part: tuple(state) for part, state in parts.items()}
        for part, state in parts.items():
            save_state(self._paths.update(site, part), state, durable=False)  # a resumed run discards the spool

    def _load(self, site: str, part: str) -> State:
        """Return a copy: a rule that changes it changes nothing for the next that loads the same."""
        if site in self._kept:
            return _laid_out(self._kept[site][part], self._kept[site][part])
        return _laid_out(load_state(self._paths.update(site, part)), self._names[site][part])


def _laid_out(state: State, names: Iterable[str]) -> State:
    """Copies in one order and layout, wherever they come from, as sums over them depend on it in the last bit."""
    return {name: state[name].clone(memory_format=torch.contiguous_format) for name in names}
