"""The trainable parameters of a model and the end of its frozen prefix; everything else follows from them."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State


@dataclass(frozen=True)
class Trainable:
    """The trainable part of a model.

    Attributes:
        names: Parameters and buffers that training changes, sorted: the state that a site sends and a checkpoint holds.
        parameters: Those among them that the optimiser sees, sorted.
        prefix_end: Number of leading stages without trained parameters; later stages are recomputed in every step.
    """

    names: tuple[str, ...]
    parameters: tuple[str, ...]
    prefix_end: int


def trainable_of(model: nn.Module, prefix_end: int, trained_parts: Collection[str]) -> Trainable:
    """Read the trainable part off a model whose parameters have been frozen and unfrozen.

    Args:
        model: Its ``requires_grad`` flags determine the trained parameters.
        prefix_end: The number of leading stages that hold none of them.
        trained_parts: Prefixes of names below which buffers (running statistics of normalisation layers) change in
            training, so that they belong to the state; ``""`` is the whole model.
    """
    parameters = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    saved_buffers = model.state_dict().keys() & dict(model.named_buffers()).keys()
    buffers = {name for name in saved_buffers if name.startswith(tuple(trained_parts))}
    return Trainable(tuple(sorted(parameters | buffers)), tuple(sorted(parameters)), prefix_end)


def read_state(model: nn.Module, trainable: Trainable) -> State:
    """Clone the trainable state to the CPU: the payload of a site."""
    tensors = model.state_dict()
    return {name: tensors[name].detach().to("cpu", copy=True) for name in trainable.names}


def write_state(model: nn.Module, trainable: Trainable, state: State) -> None:
    """Copy `state` into the model; nothing is written unless all of it fits.

    Raises:
        InputError: If names, shapes or dtypes differ from the trainable state; names the first mismatch.
    """
    if state.keys() != set(trainable.names):
        missing = sorted(set(trainable.names) - state.keys())
        strange = sorted(state.keys() - set(trainable.names))
        first = f"{missing[0]} is missing" if missing else f"{strange[0]} does not train in this model"
        raise InputError(
            f"state: expected the {len(trainable.names)} trained tensors, but {first} "
            f"({len(missing)} missing, {len(strange)} strange); use the head and tuning that wrote it"
        )
    tensors = model.state_dict()
    for name in trainable.names:
        expected, tensor = tensors[name], state[name]
        if (expected.shape, expected.dtype) != (tensor.shape, tensor.dtype):
            raise InputError(
                f"state: {name}: expected {tuple(expected.shape)} {expected.dtype}, "
                f"got {tuple(tensor.shape)} {tensor.dtype}; use the head and tuning that wrote it"
            )
    with torch.no_grad():
        for name in trainable.names:
            tensors[name].copy_(state[name])
