"""Fewer keys: the N keys and values of a text are mixed into k, along its length.

Source: Wang et al. 2020, "Linformer", section 4.
"""

from __future__ import annotations

from torch import Tensor

from tftutor.attention import attend
from tftutor.checks import expect_shape


def linformer_attention(q: Tensor, k: Tensor, v: Tensor, *, key_mix: Tensor, value_mix: Tensor) -> Tensor:
    """softmax(q (E k)^T / sqrt(Dh)) (F v) with learned E = `key_mix` and F = `value_mix`, both (n_mixed, N).

    Works for texts of exactly N tokens. Every mixed key holds a bit of all tokens, so no causal mask is possible, and a
    padded key must be zeroed by the caller before it is mixed.

    Args:
        q: (B, H, T, Dh).
        k, v: (B, H, N, Dh).
        key_mix, value_mix: (n_mixed, N), or (H, n_mixed, N) for a mixture per head.
    """
    for name, mix in (("key_mix", key_mix), ("value_mix", value_mix)):
        expect_shape(name, mix[None] if mix.ndim == 2 else mix, H=None, n_mixed=None, N=k.shape[2])
    return attend(q, key_mix @ k, value_mix @ v)
