"""Windowed attention of SAM-Med3D's encoder, with relative positions and all padding folded into one key."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from fedtune3d.models.linear import fast_linear

CACHED_WEIGHTS = 600_000  # two heads of 512 × 513, about the capacity of two cores' L2 caches
FUSED = (torch.bfloat16, torch.float16)


def attend(qkv: Tensor, tables: Sequence[Tensor], padding: Tensor | None) -> Tensor:
    """Compute attention with SAM-Med3D's decomposed relative positions, as its released weights were trained.

    For query (d, h, w), key (kd, kh, kw) and r = q unscaled, the logit is q·k/√c + A[q; kw] + G[d, h; kd, kw] +
    I[d, h; kh, kw], with A = r[d, h, w]·Rd[d, kw], G = r[d, h, kd]·Rh[h, kw] and I = r[d, h, kh]·Rw[kh, kw]: the
    authors' port to 3D shifted the axes of the terms, so the query's w is used as a key axis. This must be reproduced:
    other axes give other features.

    Only the arguments are kept for the backward pass, which recomputes the attention weights.

    Args:
        qkv: Queries, keys and values of the tokens of windows, (3, windows, heads, d, h, w, c).
        tables: Relative positions along the axes d, h and w, each (2 · S − 1, c) for windows of S³ tokens; row
            S − 1 + i − j is for query index i and key index j.
        padding: Query, key and value of a padded token, (3, heads, c); None if the window is full.

    Returns:
        (windows, heads, d, h, w, c).
    """
    # Reversed, so that a step along the key axis is a step forward in the table.
    reversed_tables = torch.cat(list(tables)).flip(0)
    if qkv.dtype in FUSED:
        return _fused(qkv, reversed_tables, padding)
    attended: Tensor = _Attention.apply(qkv, reversed_tables, padding)  # type: ignore[no-untyped-call]
    return attended


def _fused(qkv: Tensor, tables: Tensor, padding: Tensor | None) -> Tensor:
    """`attend` by PyTorch's fused attention, with A + G + I as its additive mask.

    The terms are computed in the tables' precision, and rounded to that of `qkv` in the mask.
    """
    q, k, v = qkv
    exact = None if padding is None else padding.to(tables.dtype)
    a, g, i = _relative_terms(q.to(tables.dtype), tables, exact)
    along_w = a[..., None, None, : q.shape[4]]
    mask = (_row_bias(g, i, q.shape[2:5])[..., None, :, :, :] + along_w).flatten(5).flatten(2, 4)
    keys, values = k.flatten(2, 4), v.flatten(2, 4)
    if padding is not None:
        mask = torch.cat([mask, padding_logit(a, g, i, q.shape[2:5]).flatten(2)[..., None]], -1)
        keys, values = _with_padded(keys, padding[1]), _with_padded(values, padding[2])
    attended = functional.scaled_dot_product_attention(q.flatten(2, 4), keys, values, mask.to(q.dtype))
    return attended.view(q.shape)


def _row_bias_form(qkv: Tensor, tables: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return queries, keys, values and bias such that `attend` is softmax(queries · keysᵀ + row bias) · values.

    A is appended to q and k as columns, G + I is a bias shared by the queries of a row (d, h), and the padded keys
    become one key whose logit gets `padding_logit`. The only (queries, keys) array is thus the attention weights.

    Returns:
        (windows, heads, n, e), (windows, heads, m, e), (windows, heads, m, c) and (windows, heads, d · h, m).
    """
    q, k, v = qkv
    real_d, real_h, real_w = q.shape[2:5]
    a, g, i = _relative_terms(q, tables, padding)
    bias = _row_bias(g, i, (real_d, real_h, real_w)).flatten(4).flatten(2, 3)
    columns = torch.eye(real_w, dtype=q.dtype, device=q.device).repeat(real_d * real_h, 1)
    queries = [q.flatten(2, 4) * q.shape[-1] ** -0.5, a[..., :real_w].flatten(2, 4)]
    keys, values = k.flatten(2, 4), v.flatten(2, 4)
    if padding is not None:
        queries.append(padding_logit(a, g, i, (real_d, real_h, real_w)).flatten(2)[..., None])
        columns = torch.block_diag(columns, columns.new_ones(1, 1))
        keys, values = _with_padded(keys, padding[1]), _with_padded(values, padding[2])
        bias = functional.pad(bias, (0, 1))
    keys = torch.cat([keys, columns.expand(*keys.shape[:2], -1, -1)], -1)
    return torch.cat(queries, -1), keys, values, bias


def _relative_terms(q: Tensor, tables: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """A, G and I of `attend`; a window that is short along w is filled with padded queries."""
    size, real_w = (len(tables) // 3 + 1) // 2, q.shape[4]
    row = q
    if padding is not None and real_w < size:
        filler = padding[0][:, None, None, None].expand(*q.shape[:4], size - real_w, -1)
        row = torch.cat([q, filler], dim=4)
    terms: tuple[Tensor, Tensor, Tensor] = _RelativeTerms.apply(row, tables, real_w)  # type: ignore[no-untyped-call]
    return terms


def _row_bias(g: Tensor, i: Tensor, real: Sequence[int]) -> Tensor:
    """G + I between real tokens, (windows, heads, d, h, kd, kh, kw)."""
    real_d, real_h, real_w = real
    return g[..., :real_d, None, :real_w] + i[..., None, :real_h, :real_w]


def _with_padded(x: Tensor, padded: Tensor) -> Tensor:
    """Append a padded token (heads, c) to the tokens of every window, (windows, heads, n, c)."""
    return torch.cat([x, padded[:, None].to(x.dtype).expand(len(x), -1, -1, -1)], 2)


def padding_logit(a: Tensor, g: Tensor, i: Tensor, real: Sequence[int]) -> Tensor:
    """Return log Σ exp(A + G + I) over the padded keys of a window, the logit that is added to one virtual key.

    Padded keys differ only in their relative positions, so one key can represent them all. For a given kw the sum
    over kd involves only G, and the sum over kh only I. The padded keys are summed as three disjoint sets, which
    avoids subtraction: kw padded; kw real and kd padded; kw and kd real and kh padded.

    Args:
        a: A[q; kw], (…, d, h, w, S).
        g: G[d, h; kd, kw], (…, d, h, S, S).
        i: I[d, h; kh, kw], (…, d, h, S, S).
        real: Number of real tokens along each axis of the window; fewer than S along at least one.

    Returns:
        (…, d, h, w).
    """
    real_d, real_h, real_w = real
    size = a.shape[-1]
    sets = []
    if real_w < size:
        sets.append((g[..., real_w:].logsumexp(-2) + i[..., real_w:].logsumexp(-2), a[..., real_w:]))
    if real_d < size:
        sets.append((g[..., real_d:, :real_w].logsumexp(-2) + i[..., :real_w].logsumexp(-2), a[..., :real_w]))
    if real_h < size:
        inside = g[..., :real_d, :real_w].logsumexp(-2)
        sets.append((inside + i[..., real_h:, :real_w].logsumexp(-2), a[..., :real_w]))
    return torch.cat([summed.unsqueeze(-2) + along for summed, along in sets], -1).logsumexp(-1)


class _RelativeTerms(torch.autograd.Function):
    """(A, G, I) of `attend` from the queries padded along w, (…, d, h, S, c), and the reversed tables of w, h and d.

    One product combines every token with every row of the tables; the terms are diagonal views of it.
    """

    @staticmethod
    def forward(ctx: Any, row: Tensor, tables: Tensor, real_w: int) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(row, tables)
        ctx.real_w = real_w
        a, g, i = _diagonals(fast_linear(row, tables, None), real_w)
        return a.contiguous(), g.contiguous(), i.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        row, tables = ctx.saved_tensors
        gradient = row.new_zeros(*row.shape[:-1], len(tables))
        for view, term in zip(_diagonals(gradient, ctx.real_w), gradients, strict=True):
            view.add_(term)
        return gradient @ tables, gradient.flatten(0, -2).T @ row.flatten(0, -2), None


def _diagonals(products: Tensor, real_w: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return A (…, d, h, w, S), G and I (…, d, h, S, S): views of contiguous products (…, d, h, S, 3 · (2 · S − 1))."""
    size, length = products.shape[-2], products.shape[-1] // 3
    views = []
    # In the reversed tables of axes w, h, d the row of query index p and key index k is first + S − 1 − p + k.
    for first, axis, places in ((2 * length, -4, real_w), (length, -3, size), (0, -2, size)):
        shape, strides = [*products.shape[:-2], places, size], list(products.stride())
        strides[axis] -= 1
        views.append(products.as_strided(shape, strides, products.storage_offset() + first + size - 1))
    return views[0], views[1], views[2]


class _Attention(torch.autograd.Function):
    """`attend` on concatenated, reversed tables."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, tables: Tensor, padding: Tensor | None) -> Tensor:
        ctx.save_for_backward(qkv, tables, padding)
        q, k, v, bias = (tensor.flatten(0, 1) for tensor in _row_bias_form(qkv, tables, padding))
        attended = torch.empty(*q.shape[:2], v.shape[2], dtype=v.dtype, device=v.device)
        for part in _parts(q, k):
            torch.bmm(_attention_weights(q[part], k[part], bias[part]), v[part], out=attended[part])
        return attended.view(qkv.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs = [kept.detach().requires_grad_() for kept in ctx.saved_tensors if kept is not None]
        with torch.enable_grad():
            form = _row_bias_form(inputs[0], inputs[1], inputs[2] if len(inputs) == 3 else None)
        flat = [tensor.detach().flatten(0, 1) for tensor in form]
        of_form = [torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in form]
        _attention_gradients(flat, gradient.flatten(2, 4).flatten(0, 1), [of.flatten(0, 1) for of in of_form])
        return (*torch.autograd.grad(form, inputs, of_form), None)[:3]


def _parts(q: Tensor, k: Tensor) -> list[slice]:
    """Slice the first axis so that attention weights fit into the processor's cache; one slice on a GPU."""
    step = max(1, CACHED_WEIGHTS // (q.shape[1] * k.shape[1])) if q.device.type == "cpu" else len(q)
    return [slice(start, start + step) for start in range(0, len(q), step)]


def _attention_weights(q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    """Return softmax(q kᵀ + row bias), (b, n, m), from (b, n, e), (b, m, e) and (b, rows, m)."""
    logits = torch.empty(*q.shape[:2], k.shape[1], dtype=q.dtype, device=q.device)
    logits.unflatten(1, (bias.shape[1], -1)).copy_(bias.unsqueeze(2))
    logits.baddbmm_(q, k.mT)
    return torch.softmax(logits, -1, out=logits)


def _attention_gradients(form: Sequence[Tensor], gradient: Tensor, of_form: Sequence[Tensor]) -> None:
    """Write the gradients of q, k, v and bias into `of_form`; windows and heads are merged into the first axis."""
    q, k, v, bias = form
    for part in _parts(q, k):
        of_q, of_k, of_v, of_bias = (of[part] for of in of_form)
        weights = _attention_weights(q[part], k[part], bias[part])
        torch.bmm(weights.mT, gradient[part], out=of_v)
        of_logits = torch._softmax_backward_data(gradient[part] @ v[part].mT, weights, -1, weights.dtype)
        torch.bmm(of_logits, k[part], out=of_q)
        torch.bmm(of_logits.mT, q[part], out=of_k)
        torch.sum(of_logits.unflatten(1, (bias.shape[1], -1)), 2, out=of_bias)
