"""Attention without softmax: a product of features, so that the sum over keys can be taken once for all queries.

Source: Katharopoulos et al. 2020, "Transformers are RNNs", sections 3.2 to 3.4.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.checks import expect_positive, expect_shape
from tftutor.state import memory_dtype


class LinearState(NamedTuple):
    """All a causal decoder remembers of the past; its size does not depend on how much that is. Float32 at least."""

    mixed: Tensor  # (B, H, Dk, Dv), sum over keys of features(k) v^T
    total: Tensor  # (B, H, Dk), sum over keys of features(k)


def positive_features(x: Tensor) -> Tensor:
    """elu(x) + 1, positive everywhere: the feature map of Katharopoulos et al. 2020, equation 7."""
    return F.elu(x) + 1


def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, key_valid: Tensor | None = None, chunk: int = 128
) -> Tensor:
    """Weights features(q) . features(k), divided by their sum; never an N x N matrix.

    Args:
        q: (B, H, T, Dk).
        k, v: (B, H, S, Dk), (B, H, S, Dv).
        causal: each query reads the keys at or before its own place (then S = T).
        key_valid: bool, (B, S), True = a real token; None: all are.
        chunk: causal: tokens that are compared pair by pair; those before them are read from the state.

    Returns:
        (B, H, T, Dv).
    """
    expect_positive(chunk=chunk)
    q, k = positive_features(q), positive_features(k)
    if key_valid is not None:
        expect_shape("key_valid", key_valid, B=len(k), S=k.shape[2])
        k = k * key_valid[:, None, :, None]
    if not causal:
        return _read(q, LinearState(k.transpose(-2, -1) @ v, k.sum(dim=2)))
    if q.shape[2] != k.shape[2]:
        raise ValueError(f"k: expected as many keys as queries ({q.shape[2]}) when causal, got {k.shape[2]}")
    state = _nothing(k, v)
    outputs = []
    for queries, keys, values in zip(*(x.split(chunk, dim=2) for x in (q, k, v)), strict=True):
        near = (queries @ keys.transpose(-2, -1)).tril()  # (B, H, chunk, chunk)
        wide = queries.to(state.mixed.dtype)
        mixed = near @ values + wide @ state.mixed
        total = near.sum(dim=-1, keepdim=True) + (wide * state.total[:, :, None]).sum(dim=-1, keepdim=True)
        outputs.append((mixed / total).to(v.dtype))
        state = LinearState(state.mixed + keys.transpose(-2, -1) @ values, state.total + keys.sum(dim=2))
    return torch.cat(outputs, dim=2) if outputs else torch.zeros_like(v)


def linear_attention_step(
    q: Tensor, k: Tensor, v: Tensor, state: LinearState | None = None
) -> tuple[Tensor, LinearState]:
    """One more token, (B, H, 1, Dk) and (B, H, 1, Dv): its output (B, H, 1, Dv) and the state after it."""
    q, k = positive_features(q), positive_features(k)
    if state is None:
        state = _nothing(k, v)
    state = LinearState(state.mixed + k.transpose(-2, -1) @ v, state.total + k[:, :, 0])
    return _read(q, state), state


def _nothing(k: Tensor, v: Tensor) -> LinearState:
    """The state before the first token."""
    shape, dtype = (*k.shape[:2], k.shape[3]), memory_dtype(k)
    return LinearState(k.new_zeros(*shape, v.shape[3], dtype=dtype), k.new_zeros(shape, dtype=dtype))


def _read(q: Tensor, state: LinearState) -> Tensor:
    """(B, H, T, Dv), read from the state by queries that are features already."""
    wide = q.to(state.mixed.dtype)
    return ((wide @ state.mixed) / (wide * state.total[:, :, None]).sum(dim=-1, keepdim=True)).to(q.dtype)
