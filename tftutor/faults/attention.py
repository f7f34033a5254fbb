"""Faults of attention and its heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.faults.catalogue import Function, fault


def _attend_with(weigh: Callable[[Tensor, Tensor], Tensor]) -> Function:
    """Attention whose weights are weigh(scores (B, H, T, S), mask)."""

    def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, bias: Tensor | None = None,
               scale: float | None = None, dropout: float = 0.0) -> Tensor:  # fmt: skip
        scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
        scores = scores if bias is None else scores + bias
        mask = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
        return F.dropout(weigh(scores, mask), dropout) @ v

    return attend


@fault("mask-inverted", "attention.attend", "the first query sees the future only, the last one nothing",
       "SDPA: True = may look; nn.MultiheadAttention: True = hidden")  # fmt: skip
def _(attend: Function) -> Function:
    return lambda q, k, v, *, mask=None, **named: attend(q, k, v, mask=None if mask is None else ~mask, **named)


@fault("softmax-over-queries", "attention.attend", "columns of the weights sum to 1, rows do not",
       "each query distributes its own attention over the keys")  # fmt: skip
def _(attend: Function) -> Function:
    return _attend_with(lambda scores, mask: scores.masked_fill(~mask, -1e9).softmax(dim=-2))


@fault("mask-after-softmax", "attention.attend", "rows of the weights sum to less than 1",
       "mask scores, not weights: hidden keys still took their share")  # fmt: skip
def _(attend: Function) -> Function:
    return _attend_with(lambda scores, mask: scores.softmax(dim=-1) * mask)


@fault("blocked-scores-zero", "attention.attend", "hidden keys get weight all the same",
       "exp(0) is 1: which score gives weight 0?")  # fmt: skip
def _(attend: Function) -> Function:
    return _attend_with(lambda scores, mask: (scores * mask).softmax(dim=-1))


@fault("empty-row-nan", "attention.attend", "NaN as soon as a row is all padding, then in every weight after a step",
       "softmax of nothing but -inf is 0 / 0")  # fmt: skip
def _(attend: Function) -> Function:
    return _attend_with(lambda scores, mask: scores.masked_fill(~mask, float("-inf")).softmax(dim=-1))


@fault("empty-row-uniform", "attention.attend", "a query with nothing to look at averages everything, padding too",
       "all scores at -1e9 are equal, and equal scores share the weight")  # fmt: skip
def _(attend: Function) -> Function:
    return _attend_with(lambda scores, mask: scores.masked_fill(~mask, -1e9).softmax(dim=-1))


@fault("scale-by-d-model", "attention.attend", "standard deviation of the scores 1 / sqrt(H), attention too flat",
       "the sum of a score runs over the width of a head")  # fmt: skip
def _(attend: Function) -> Function:
    return lambda q, k, v, *, scale=None, **named: attend(q, k, v, scale=(q.shape[1] * q.shape[-1]) ** -0.5, **named)


@fault("scale-forgotten", "attention.attend", "the softmax saturates and gradients vanish as heads grow wider",
       "a sum of Dh products has standard deviation sqrt(Dh)")  # fmt: skip
def _(attend: Function) -> Function:
    return lambda q, k, v, *, scale=None, **named: attend(q, k, v, scale=1.0, **named)


@fault("split-without-transpose", "attention.split_heads", "right only for one head or T = H; the future leaks",
       "split the last axis first, then move the heads forward")  # fmt: skip
def _(split_heads: Function) -> Function:
    return lambda x, n_heads: x.reshape(len(x), n_heads, x.shape[1], -1)


@fault("merge-without-transpose", "attention.merge_heads", "right only for one head or T = 1; positions mix",
       "bring the heads back beside their features before joining them")  # fmt: skip
def _(merge_heads: Function) -> Function:
    return lambda x: x.reshape(len(x), x.shape[2], -1)


@fault("heads-tiled", "attention.share_kv_heads", "weights converted from another library give nonsense",
       "neighbouring query heads share a key head: 0 0 1 1, not 0 1 0 1")  # fmt: skip
def _(share_kv_heads: Function) -> Function:
    return lambda x, n_heads: x.repeat(1, n_heads // x.shape[1], 1, 1)


@fault("cross-attention-to-self", "attention.MultiHeadAttention.forward", "the output ignores the source",
       "queries come from the decoder; keys and values come from the memory")  # fmt: skip
def _(forward: Function) -> Function:
    def broken(self: nn.Module, x: Tensor, *, kv: Any = None, mask: Tensor | None = None, **named: Any) -> Tensor:
        return forward(self, x, mask=mask if kv is None else None, **named)

    return broken


@fault("keys-detached", "attention.MultiHeadAttention.project_kv", "keys and values never learn",
       "which parameters get no gradient?")  # fmt: skip
def _(project_kv: Function) -> Function:
    return lambda *args: type(kv := project_kv(*args))(*(x.detach() for x in kv))
