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
    """The updates of a round, in memory if all of them fit into `KEPT_BYTES`, and on disk if not.

    Args:
        paths: The files of the rounds. Updates of an earlier round, or of a killed process, are removed from them.
    """

    def __init__(self, paths: RoundsPaths) -> None:
        self._paths = paths
        self._left = KEPT_BYTES
        self._kept: dict[str, Mapping[str, State]] = {}
        self._names: dict[str, dict[str, tuple[str, ...]]] = {}
        shutil.rmtree(paths.spool, ignore_errors=True)

    def add(self, answer: Answer) -> Update:
        """Keep an update. Raises `StorageError` if it cannot be written to disk."""
        site, payload = answer.site, answer.expect(TrainAnswer)
        self._kept[site] = answer.parts
        self._left -= parts_bytes(answer.parts)
        if self._left < 0:
            self._write_kept()
        scores, loss, scalars = payload.scores, payload.received_training_loss, payload.scalars
        return Update(site, payload.examples or 0, partial(self._load, site), scores, loss, scalars)

    def _write_kept(self) -> None:
        for site, parts in self._kept.items():
            self._names[site] = {part: tuple(state) for part, state in parts.items()}
            for part, state in parts.items():
                save_state(self._paths.update(site, part), state, durable=False)  # a resumed run discards the spool
        self._kept.clear()

    def _load(self, site: str, part: str) -> State:
        """Return a copy: a rule that changes it changes nothing for the next that loads the same."""
        if site in self._kept:
            return _laid_out(self._kept[site][part], self._kept[site][part])
        return _laid_out(load_state(self._paths.update(site, part)), self._names[site][part])


def _laid_out(state: State, names: Iterable[str]) -> State:
    """Copies in one order and layout, wherever they come from, as sums over them depend on it in the last bit."""
    return {name: state[name].clone(memory_format=torch.contiguous_format) for name in names}
