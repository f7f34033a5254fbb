"""Exact attention over one piece of the keys after another, in memory that does not grow with their number squared.

A softmax needs the sum over all keys, but the sum may be taken in pieces: keep for each query the largest score so
far, the sum of exp(score - largest), and the values mixed with the same weights. Two such triples, of different keys,
merge into one; the order does not matter.

Source: Milakov and Gimelshein 2018 (online softmax); Rabe and Staats 2021 (memory); Dao et al. 2022 ("FlashAttention",
which does this inside one kernel, in the fast memory of a GPU).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tftutor.checks import expect_mask, expect_positive, expect_shape
from tftutor.masks import causal_mask


class Partial(NamedTuple):
    """Attention to some of the keys, not yet divided by the sum of weights."""

    mixed: Tensor  # (B, H, T, Dh), sum over keys of exp(score - top) * value
    top: Tensor  # (B, H, T, 1), the largest score; -inf where no key was seen
    total: Tensor  # (B, H, T, 1), sum over keys of exp(score - top)


def partial_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
) -> Partial:
    """The triple of queries (B, H, T, Dh) and some keys and values (B, H, S, Dh); `mask`, `bias` as in `attend`."""
    expect_mask(mask)
    scores = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    top = scores.amax(dim=-1, keepdim=True)
    weights = (scores - _finite(top)).exp()
    return Partial(weights @ v, top, weights.sum(dim=-1, keepdim=True))


def merge(a: Partial, b: Partial) -> Partial:
    """The triple of all keys of `a` and `b` together."""
    top = torch.maximum(a.top, b.top)
    shrink_a, shrink_b = (a.top - _finite(top)).exp(), (b.top - _finite(top)).exp()
    mixed = a.mixed * shrink_a + b.mixed * shrink_b
    return Partial(mixed, top, a.total * shrink_a + b.total * shrink_b)


def finish(partial: Partial) -> Tensor:
    """Divide: (B, H, T, Dh). A query that saw no key gets zeros."""
    seen = partial.total > 0
    return (partial.mixed / partial.total.where(seen, 1.0)).where(seen, 0.0)


def _finite(top: Tensor) -> Tensor:
    """`top` with 0 in place of -inf, so that no -inf is subtracted from -inf."""
    return top.where(top > -math.inf, 0.0)


def blockwise_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_valid: Tensor | None = None,
    block: int = 256,
) -> Tensor:
    """`attend`, never holding more than `block` x `block` scores of a head.

    The arithmetic is that of `attend` (causal: half of it, pieces that lie wholly in the future are skipped); the
    memory is linear in the length. Meant for inference: with gradients, autograd would keep the pieces.

    Args:
        q: queries, (B, H, T, Dh).
        k, v: keys and values, (B, H, S, Dh).
        causal: the last query stands at the last key, and nobody looks ahead.
        key_valid: bool, (B, S), True = a real token; None: all are.
        block: queries and keys in a piece.

    Returns:
        (B, H, T, Dh).
    """
    expect_positive(block=block)
    if key_valid is not None:
        expect_shape("key_valid", key_valid, B=len(k), S=k.shape[2])
    ahead = k.shape[2] - q.shape[2]  # keys before the first query
    outputs = []
    for start, queries in zip(range(0, q.shape[2], block), q.split(block, dim=2), strict=True):
        query_pos = torch.arange(start, start + queries.shape[2], device=q.device) + ahead
        stop = int(query_pos[-1]) + 1 if causal else k.shape[2]
        seen = None
        for first in range(0, max(stop, 1), block):
            piece = slice(first, first + block)
            key_pos = torch.arange(k.shape[2], device=q.device)[piece]
            mask = causal_mask(query_pos, key_pos) if causal and first + block > int(query_pos[0]) else None
            if key_valid is not None:
                valid = key_valid[:, None, None, piece]
                mask = valid if mask is None else mask & valid
            part = partial_attention(queries, k[:, :, piece], v[:, :, piece], mask=mask)
            seen = part if seen is None else merge(seen, part)
        outputs.append(finish(seen))
    return torch.cat(outputs, dim=2) if outputs else torch.zeros_like(q)
