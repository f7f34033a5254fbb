"""Multi-head attention as it should be, and as people write it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def multi_head(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int) -> Tensor:
    """Self-attention with n_heads heads, without mask and biases.

    x: (B, T, D).  w_q, w_k, w_v, w_o: (D, D), used as x @ w.
    Head 0 owns the first D / n_heads columns of w_q, w_k and w_v, head 1 the
    next ones, and so on; w_o takes the heads side by side, in this order.
    Returns (B, T, D).
    """
    def split(y):
        return y.unflatten(-1, (n_heads, -1)).transpose(1, 2)  # (B, H, T, Dh)

    q, k, v = split(x @ w_q), split(x @ w_k), split(x @ w_v)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    heads = scores.softmax(dim=-1) @ v  # (B, H, T, Dh)
    return heads.transpose(1, 2).flatten(2) @ w_o


def variant(
    *,
    split: Callable[[Tensor, int], Tensor] = lambda y, h: y.unflatten(-1, (h, -1)).transpose(1, 2),
    merge: Callable[[Tensor], Tensor] = lambda heads: heads.transpose(1, 2).flatten(2),
    scale: Callable[[Tensor, Tensor], float] = lambda q, x: q.shape[-1] ** -0.5,
    softmax: Callable[[Tensor], Tensor] = lambda s: s.softmax(dim=-1),
    project: Callable[[Tensor, Tensor], Tensor] = lambda x, w: x @ w,
    output: Callable[[Tensor, Tensor], Tensor] = lambda y, w: y @ w,
) -> Callable[..., Tensor]:
    """Multi-head attention with one of its steps replaced."""

    def variant(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int) -> Tensor:
        q, k, v = (split(project(x, w), n_heads) for w in (w_q, w_k, w_v))
        weights = softmax(q @ k.mT * scale(q, x))
        return output(merge(weights @ v), w_o)

    return variant


def view_without_transpose(y: Tensor, n_heads: int) -> Tensor:
    """Split heads in the order of memory: (B, T, D) -> (B, H, T, Dh), each head a few whole tokens."""
    return y.reshape(len(y), n_heads, y.shape[1], -1)


def back_without_transpose(heads: Tensor) -> Tensor:
    """Glue the last two axes in size, heads and tokens left as they stand."""
    b, h, t, d_head = heads.shape
    return heads.reshape(b, t, h * d_head)


view_attention = variant(split=view_without_transpose, merge=back_without_transpose)
"""Multi-head attention that forgets the transpose twice."""


def merge_by_view(heads: Tensor) -> Tensor:
    """Merge with `view`, which stops with an error."""
    b, h, t, d_head = heads.shape
    return heads.contiguous().transpose(1, 2).view(b, t, h * d_head)  # the view of a transposed tensor: an error


def slice_then_project(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int) -> Tensor:
    """Each head sees only its own features: the matrices' blocks off the diagonal go unused."""
    blocks = torch.block_diag(*[torch.ones(w_q.shape[0] // n_heads, w_q.shape[0] // n_heads)] * n_heads)
    return multi_head(x, w_q * blocks, w_k * blocks, w_v * blocks, w_o, n_heads)


def dealt_out(y: Tensor, n_heads: int) -> Tensor:
    """Split heads so that head h owns every n_heads-th column."""
    return y.unflatten(-1, (-1, n_heads)).permute(0, 3, 1, 2)


def collected(heads: Tensor) -> Tensor:
    """Merge heads so that their features alternate."""
    return heads.permute(0, 2, 3, 1).flatten(2)


def with_matrices(pick: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Tensor]:
    """The right layer with other matrices than those given."""
    return lambda x, w_q, w_k, w_v, w_o, n_heads: multi_head(x, *pick(w_q, w_k, w_v, w_o), n_heads)


def one_wide_head(by_head: bool) -> Callable[..., Tensor]:
    """A single head as wide as the model, with the scale of a narrow one if `by_head`."""
    def wide(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int) -> Tensor:
        root = (x.shape[-1] / (n_heads if by_head else 1)) ** 0.5
        return ((x @ w_q) @ (x @ w_k).mT / root).softmax(dim=-1) @ (x @ w_v) @ w_o

    return wide


def future_hidden(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int) -> Tensor:
    """The layer with a causal mask."""
    q, k, v = ((x @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2) @ w_o
