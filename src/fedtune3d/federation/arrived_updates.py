"""The updates of a round between their arrival and the rule: few of them in memory, the others on disk."""

import shutil
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import torch

from fedtune3d._utils.folders import RoundsPaths
from fedtune3d._utils.state_dicts import State, load_state, save_state
from fedtune3d.aggregation.contract import Update
from fedtune3d.federation.messages import Answer, parts_bytes
from fedtune3d.federation.tasks.train import TrainAnswer

KEPT_BYTES = 32_000_000
"""Bytes of a round's updates that stay in memory: those of four sites with CONV S, or of 10,000 with a linear head."""


class ArrivedUpdates:
    """The updates of a round, in memory while they fit into `KEPT_BYTES`, and on disk from there on.

    Args:
        paths: The files of the rounds. Updates of an earlier round, or of a killed process, are removed from them.
    """

    def __init__(self, paths: RoundsPaths) -> None:
        self._paths = paths
        self._left = KEPT_BYTES
        shutil.rmtree(paths.spool, ignore_errors=True)

    def add(self, answer: Answer) -> Update:
        """Keep an update. Raises `StorageError` if it cannot be written to disk."""
        needed = parts_bytes(answer.parts)
        if needed <= self._left:
            self._left -= needed
            load = partial(_copied, answer.parts)
        else:
            load = partial(_read, self._written(answer), {part: tuple(state) for part, state in answer.parts.items()})
        payload = answer.expect(TrainAnswer)
        scores, loss, scalars = payload.scores, payload.received_training_loss, payload.scalars
        return Update(answer.site, payload.examples or 0, load, scores, loss, scalars)

    def _written(self, answer: Answer) -> dict[str, Path]:
        paths = {part: self._paths.update(answer.site, part) for part in answer.parts}
        for part, path in paths.items():
            save_state(path, answer.parts[part], durable=False)  # a resumed run discards the spool
        return paths


def _copied(parts: Mapping[str, State], part: str) -> State:
    """A copy, as from disk: a rule that changes it changes nothing for the next that loads the same."""
    return _laid_out(parts[part], parts[part])


def _read(paths: Mapping[str, Path], names: Mapping[str, Iterable[str]], part: str) -> State:
    return _laid_out(load_state(paths[part]), names[part])


def _laid_out(state: State, names: Iterable[str]) -> State:
    """Copies in one order and layout, wherever they come from, as sums over them depend on it in the last bit."""
    return {name: state[name].clone(memory_format=torch.contiguous_format) for name in names}
