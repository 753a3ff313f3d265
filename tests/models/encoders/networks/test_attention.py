"""The attention's parts against their definitions; the whole is compared with `medim` in test_encoder.py."""

import pytest
import torch

from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.encoders.networks import attention
from fedtune3d.models.encoders.networks.attention import attend, padding_logit


def test_padding_logit_sums_over_every_padded_key() -> None:
    size, real = 4, (2, 3, 3)
    rng = torch_rng("padding")
    a = torch.randn(*real, size, generator=rng, dtype=torch.float64)
    g, i = torch.randn(2, real[0], real[1], size, size, generator=rng, dtype=torch.float64)
    everywhere = a[:, :, :, None, None, :] + g[:, :, None, :, None, :] + i[:, :, None, None, :, :]
    padded = torch.ones(size, size, size, dtype=torch.bool)
    padded[: real[0], : real[1], : real[2]] = False
    expected = everywhere[..., padded].logsumexp(-1)
    torch.testing.assert_close(padding_logit(a, g, i, real), expected)


def inputs() -> list[torch.Tensor]:
    """qkv of two windows of 3 × 3 × 2 real places among 4³, three tables and the padding, float64."""
    rng = torch_rng("attend")
    shapes = [(3, 2, 4, 3, 3, 2, 5), (7, 5), (7, 5), (7, 5), (3, 4, 5)]
    return [torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True) for shape in shapes]


def answer_and_gradients() -> list[torch.Tensor]:
    qkv, rd, rh, rw, padding = values = inputs()
    trainable = attend(qkv, (rd, rh, rw), padding)
    trainable.square().sum().backward()
    return [trainable.detach(), *(value.grad for value in values if value.grad is not None)]


def test_a_few_heads_at_a_time_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer_and_gradients()
    monkeypatch.setattr(attention, "CACHED_WEIGHTS", 3 * 18 * 19)
    assert len(whole) == 6
    for parts, expected in zip(answer_and_gradients(), whole, strict=True):
        torch.testing.assert_close(parts, expected)


@pytest.mark.parametrize("padded", [True, False])
def test_fused_attention_gives_what_the_parts_give(monkeypatch: pytest.MonkeyPatch, padded: bool) -> None:
    def of_padded() -> list[torch.Tensor]:
        if padded:
            return answer_and_gradients()
        qkv, *tables, _ = inputs()
        full = qkv[..., :2, :2, :2, :].detach().requires_grad_()
        tables = [table[2:5] for table in tables]
        attended = attend(full, tables, None)
        return [attended.detach(), *torch.autograd.grad(attended.square().sum(), [full, *tables])]

    expected = of_padded()
    monkeypatch.setattr(attention, "FUSED", (torch.float64,))
    for fused, parts in zip(of_padded(), expected, strict=True):
        torch.testing.assert_close(fused, parts)


def test_gradients_are_those_of_finite_differences() -> None:
    def function(qkv: torch.Tensor, rd: torch.Tensor, rh: torch.Tensor, rw: torch.Tensor, padding: torch.Tensor):
        return attend(qkv, (rd, rh, rw), padding)

    assert torch.autograd.gradcheck(function, inputs(), fast_mode=True)


def test_inputs_are_left_unchanged() -> None:
    before = [value.detach().clone() for value in inputs()]
    values = inputs()
    attend(values[0], values[1:4], values[4]).sum().backward()
    assert all(torch.equal(value, old) for value, old in zip(values, before, strict=True))
