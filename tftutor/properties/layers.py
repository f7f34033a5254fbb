"""Properties of masks, attention and blocks."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.properties.running import Function, largest, run


def mask_error(fn: Function, query_pos: Tensor, key_pos: Tensor, rule: Callable[[int, int], bool]) -> float:
    """Is fn(query_pos (T,), key_pos (S,)) the mask of `rule(query, key)`? The number of wrong entries."""
    wanted = torch.tensor([[rule(q, k) for k in key_pos.tolist()] for q in query_pos.tolist()])
    return float((fn(query_pos, key_pos) != wanted).sum())


def weight_error(weights: Tensor, mask: Tensor | None = None) -> float:
    """Are weights (B, H, T, S) a distribution over each query's allowed keys, or all zero where none is allowed?"""
    mask = torch.ones_like(weights, dtype=torch.bool) if mask is None else mask.expand_as(weights)
    totals = mask.any(dim=-1).to(weights.dtype)
    return max(largest(weights.sum(dim=-1) - totals), largest(weights.masked_fill(mask, 0.0)))


def empty_row_error(fn: Function, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> float:
    """Does attention `fn(q, k, v, mask=)` give zero, with zero and finite gradients, where no key is allowed?"""
    inputs = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    heads = fn(*inputs, mask=mask)
    heads.sum().backward()
    empty = ~mask.any(dim=-1, keepdim=True).expand(*heads.shape[:-1], 1)
    worst = max(largest(heads.detach()[empty[..., 0]]), largest(inputs[0].grad[empty[..., 0]]))
    return worst if all(bool(x.grad.isfinite().all()) for x in inputs) else float("nan")


def attention_error(attn: nn.Module, x: Tensor, *, context: Tensor | None = None, mask: Tensor | None = None) -> float:
    """Is a `MultiHeadAttention` its own definition? Computed here for one row, head and query at a time.

    Args:
        attn: the layer.
        x: queries' sequence, (B, T, D).
        context: the sequence of keys and values, (B, S, D); None: x.
        mask: bool, broadcastable to (B, H, T, S).
    """
    source = x if context is None else context
    q, k, v = attn.q_proj(x), attn.k_proj(source), attn.v_proj(source)
    width, shared = attn.d_head, attn.n_heads // attn.n_kv_heads
    scale = width**-0.5 if attn.scale is None else attn.scale
    everywhere = torch.ones(len(x), attn.n_heads, x.shape[1], source.shape[1], dtype=torch.bool)
    allowed = everywhere if mask is None else everywhere & mask
    heads = torch.zeros_like(q)
    for b, h, t in itertools.product(*map(range, allowed.shape[:3])):
        query, keys = (slice(n * width, (n + 1) * width) for n in (h, h // shared))  # this head's features
        seen = allowed[b, h, t]
        weights = (k[b, seen, keys] @ q[b, t, query] * scale).softmax(dim=0)
        heads[b, t, query] = weights @ v[b, seen, keys]
    actual = run(lambda: attn(x, kv=None if context is None else attn.project_kv(context), mask=mask))
    return largest(actual - attn.o_proj(heads).detach())


def shift_change(fn: Function, query_pos: Tensor, key_pos: Tensor, shift: int) -> float:
    """Does only distance matter? `fn(query_pos, key_pos)` must not notice that all positions grow by `shift`."""
    return largest(run(fn, query_pos + shift, key_pos + shift) - run(fn, query_pos, key_pos))


def residual_error(block: nn.Module, x: Tensor, **inputs: Any) -> float:
    """Does a block whose sub-layers return zero hand x (B, T, D) on, normalised if it is post-norm?"""
    silent = copy.deepcopy(block)
    for module in silent.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    expected = x
    if not silent.pre_norm:
        for name in ("norm_attn", "norm_cross", "norm_ffn"):
            expected = getattr(silent, name, nn.Identity())(expected)
    return largest(run(silent, x, **inputs) - expected.detach())


def linearity_error(fn: Function, x: Tensor, y: Tensor) -> float:
    """Is fn(x + y) = fn(x) + fn(y)? Logits are linear in the states; probabilities and log-probabilities are not."""
    return largest(run(fn, x + y) - run(fn, x) - run(fn, y))
