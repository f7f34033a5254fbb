"""Scaled dot-product attention: one mathematics in two functions, and the layer that projects and calls them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.checks import expect_bias, expect_four_axes, expect_mask, expect_probability, expect_shape
from tftutor.positions import Rotation, rotate
from tftutor.state import KV, KVCache, Slots


class Attended(NamedTuple):
    """Weighted values and the weights that made them."""

    heads: Tensor  # (B, H, T, Dh)
    weights: Tensor  # (B, H, T, S), before dropout


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention, fused: softmax(scale * q k^T + bias) v.

    Args:
        q: queries, (B, H, T, Dh).
        k, v: keys and values, (B, H, S, Dh).
        mask: bool, broadcastable to (B, H, T, S); True where a query may attend.
        bias: float, broadcastable likewise; added to the scaled scores.
        scale: factor on the scores; None: 1 / sqrt(Dh).
        dropout: probability of dropping a weight; the caller passes 0 outside training.

    Returns:
        (B, H, T, Dh). Rows whose mask is all False are zero, with zero gradients.

    Source: Vaswani et al. 2017, equation 1.
    """
    expect_mask(mask)
    expect_bias(bias)
    if bias is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
    bias = bias.to(q.dtype)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout, scale=scale)
    # The smallest finite number instead of -inf: no NaN arises in an empty row, which is then set to zero.
    bias = bias.masked_fill(~mask, torch.finfo(q.dtype).min)
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout, scale=scale)
    return heads.masked_fill(~mask.any(dim=-1, keepdim=True), 0.0)


def attend_with_weights(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Attended:
    """`attend`, step by step, returning the weights as well."""
    expect_mask(mask)
    expect_bias(bias)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = q @ k.transpose(-2, -1) * factor  # (B, H, T, S)
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)  # an empty row is zero, not uniform
    return Attended(F.dropout(weights, dropout) @ v, weights)


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """(B, T, n_heads * Dh) -> (B, n_heads, T, Dh)."""
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, Dh) -> (B, T, H * Dh), undoing `split_heads`."""
    return x.transpose(1, 2).flatten(2)


def share_kv_heads(x: Tensor, n_heads: int) -> Tensor:
    """(B, G, S, Dh) -> (B, n_heads, S, Dh): each key/value head serves n_heads / G neighbouring query heads.

    ::

        n_heads = 4     G = 4 (MHA)     G = 2 (GQA)     G = 1 (MQA)
        query head      0 1 2 3         0 1 2 3         0 1 2 3
        key head        0 1 2 3         0 0 1 1         0 0 0 0

    Source: Shazeer 2019 (MQA); Ainslie et al. 2023 (GQA).
    """
    return x if x.shape[1] == n_heads else x.repeat_interleave(n_heads // x.shape[1], dim=1)


class MultiHeadAttention(nn.Module):
    """Attention with H query heads over G key/value heads.

    Order of events: project, split, rotate, remember, share, attend, merge, project.
    Sees position only as `mask`, `bias` and `rotation`, so it does not know one scheme from another.

    Source: Vaswani et al. 2017, section 3.2.2; `n_kv_heads` as in Ainslie et al. 2023.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        n_kv_heads: int | None = None,
        d_head: int | None = None,
        scale: float | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        score: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if d_head is None:
            if d_model % n_heads:
                raise ValueError(f"d_model={d_model} is not divisible by n_heads={n_heads}")
            d_head = d_model // n_heads
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        if n_kv_heads < 1 or n_heads % n_kv_heads:
            raise ValueError(f"n_heads={n_heads} is not divisible by n_kv_heads={n_kv_heads}")
        expect_probability(dropout=dropout)
        self.d_model = d_model
        self.n_heads = n_heads
        self.n_kv_heads = n_kv_heads
        self.d_head = d_head
        self.scale = scale
        self.dropout = dropout
        self.score = score  # of q and k, (B, H, T, S); None: the scaled dot product. Others are in tftutor.scores
        self.q_proj = nn.Linear(d_model, n_heads * d_head, bias=bias)
        self.k_proj = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.v_proj = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.o_proj = nn.Linear(n_heads * d_head, d_model, bias=bias)
        self.observer: Callable[[Tensor], None] | None = None  # set by record_attention

    def project_kv(self, context: Tensor, rotation: Rotation | None = None) -> KV:
        """Keys and values (B, G, S, Dh) of `context` (B, S, D)."""
        k = split_heads(self.k_proj(context), self.n_kv_heads)  # (B, G, S, Dh)
        v = split_heads(self.v_proj(context), self.n_kv_heads)  # (B, G, S, Dh)
        return KV(k if rotation is None else rotate(k, rotation), v)

    def forward(
        self,
        x: Tensor,
        *,
        kv: KV | None = None,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        rotation: Rotation | None = None,
        key_rotation: Rotation | None = None,
        cache: KVCache | None = None,
        slots: Slots | None = None,
    ) -> Tensor:
        """Let each position of x (B, T, D) attend to its peers, or to `kv` if given.

        Args:
            x: where the queries come from, (B, T, D).
            kv: keys and values of another sequence, from `project_kv`: cross-attention.
            mask: bool (B, H, T, S), 1 where it does not vary; True where a query may attend.
            bias: float (B, H, T, S), added to the scores.
            rotation: RoPE's angles at the positions of x.
            key_rotation: those of all cached keys, which are then cached before rotation; None: with x's own.
            cache, slots: where earlier keys and values are kept, and which slots x takes.

        Returns:
            (B, T, D). A query that may attend to nothing gets the output projection's bias.
        """
        if kv is not None and cache is not None:
            raise ValueError("kv and cache: pass one; a cache grows with x, kv is fixed")
        if (cache is None) != (slots is None):
            raise ValueError("cache and slots: pass both or neither; slots come from state.place(tokens, valid)")
        expect_shape("x", x, B=None, T=None, D=self.d_model)
        expect_four_axes("mask", mask)
        expect_four_axes("bias", bias)
        q = split_heads(self.q_proj(x), self.n_heads)  # (B, H, T, Dh)
        if rotation is not None:
            q = rotate(q, rotation)
        if kv is None:
            kv = self.project_kv(x, rotation if key_rotation is None else None)
        if cache is not None:
            kv = cache.append(kv, slots)  # S now counts the past
        if key_rotation is not None:
            kv = KV(rotate(kv.keys, key_rotation), kv.values)
        k, v = (share_kv_heads(t, self.n_heads) for t in kv)  # (B, H, S, Dh)
        scale = self.scale
        if self.score is not None:  # arrives as a bias, beside dot products times 0
            own, scale = self.score(q, k), 0.0
            bias = own if bias is None else own + bias
        dropout = self.dropout if self.training else 0.0
        if self.observer is None:
            heads = attend(q, k, v, mask=mask, bias=bias, scale=scale, dropout=dropout)
        else:
            heads, weights = attend_with_weights(q, k, v, mask=mask, bias=bias, scale=scale, dropout=dropout)
            self.observer(weights)
        return self.o_proj(merge_heads(heads))  # (B, T, D)
