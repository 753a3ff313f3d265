"""The site's half of SCAFFOLD (Karimireddy et al. 2020, arXiv:1910.06378, Algorithm 1, option II)."""

from collections.abc import Iterable, Mapping

import torch

from fedtune3d._utils.state_dicts import State


def gradient_offset(server_control: State, own_control: State | None, names: Iterable[str]) -> State:
    """c − c_k by name, which the site adds to each gradient; c_k is 0 where the site has none yet."""
    if own_control is None:
        return {name: server_control[name].float() for name in names}
    return {name: server_control[name].float() - own_control[name].float() for name in names}


def control_change(
    server_control: State, received: State, sent: Mapping[str, torch.Tensor], steps: int, rates: Mapping[str, float]
) -> State:
    """c_k⁺ − c_k = −c + (w − w_k) / (steps · rate), by name, on the CPU; exact for plain gradient steps."""
    return {
        name: ((received[name] - sent[name]).cpu().float() / (steps * rates[name]) - server_control[name].cpu().float())
        for name in received
    }
