"""Updates built from plain lists, small enough to work out by hand."""

from collections.abc import Callable, Mapping

import pytest
import torch

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.contract import Update
from fedtune3d.aggregation.site_scores import SiteScore

MakeUpdate = Callable[..., Update]


def to_state(values: Mapping[str, object], dtype: torch.dtype = torch.float32) -> State:
    """Lists become float tensors; tensors stay."""
    return {n: v if isinstance(v, torch.Tensor) else torch.tensor(v, dtype=dtype) for n, v in values.items()}


@pytest.fixture
def state_of() -> Callable[..., State]:
    return to_state


@pytest.fixture
def make_update() -> MakeUpdate:
    """make_update(site, state, examples=1, scores={}, part=tensors…)."""

    def make(
        site: str,
        state: Mapping[str, object],
        examples: int = 1,
        scores: Mapping[str, SiteScore] | None = None,
        received_training_loss: float | None = None,
        **parts: Mapping[str, object],
    ) -> Update:
        stored = {part: to_state(tensors) for part, tensors in {"state": state, **parts}.items()}

        def load(part: str) -> State:
            return {name: tensor.clone() for name, tensor in stored[part].items()}

        return Update(site, examples, load, scores or {}, received_training_loss)

    return make
