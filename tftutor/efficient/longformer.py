"""Sliding windows: one-sided and dilated for decoders, two-sided with global tokens for encoders.

Source: Beltagy et al. 2020, "Longformer", section 3.1.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.attention import attend
from tftutor.checks import expect_positive
from tftutor.efficient.blocks import block_sparse_attention, neighbour_layout
from tftutor.masks import global_mask, padding_mask, window_mask


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, *, window: int, dilation: int = 1, key_valid: Tensor | None = None
) -> Tensor:
    """Causal attention to the latest `window` keys, the query's own included: `window_mask` or `dilated_mask`.

    With `dilation` d only every d-th key back counts, so that the window spans window * d tokens at the same cost: the
    tokens whose numbers leave the same remainder modulo d are a text of their own.

    Args:
        q, k, v: (B, H, N, Dh).
        window: keys per query.
        dilation: step from one key of the window to the next.
        key_valid: bool, (B, N), True = a real token; None: all are.
    """
    expect_positive(window=window, dilation=dilation)
    if dilation > 1:
        return _interleaved(q, k, v, window, dilation, key_valid)
    layout = neighbour_layout(-(-q.shape[2] // window), before=1, after=0, device=q.device)
    see = functools.partial(window_mask, window=window)
    return block_sparse_attention(q, k, v, layout, block=window, see=see, key_valid=key_valid)


def _interleaved(q: Tensor, k: Tensor, v: Tensor, window: int, step: int, key_valid: Tensor | None) -> Tensor:
    """`window_attention` within each of the `step` texts made of every `step`-th token."""
    batch, _, length, _ = q.shape
    pad = -length % step

    def apart(x: Tensor) -> Tensor:
        """(B, H, N, Dh) -> (step * B, H, N / step, Dh)."""
        return torch.cat(F.pad(x, (0, 0, 0, pad)).unflatten(2, (-1, step)).unbind(3))

    valid = torch.ones(batch, length, dtype=torch.bool, device=q.device) if key_valid is None else key_valid
    valid = torch.cat(F.pad(valid, (0, pad)).unflatten(1, (-1, step)).unbind(2))
    heads = window_attention(apart(q), apart(k), apart(v), window=window, key_valid=valid)
    return torch.stack(heads.split(batch), dim=3).flatten(2, 3)[:, :, :length]


def longformer_attention(
    q: Tensor, k: Tensor, v: Tensor, *, reach: int, n_global: int = 0, key_valid: Tensor | None = None
) -> Tensor:
    """Both directions: `reach` keys to either side; the first `n_global` tokens see all and are seen by all.

    The pattern is `global_mask`. Not for decoders: a global token reads the future and hands it on. (The published
    layer has a second set of projections for the queries, keys and values of global rows; a caller who wants them
    overwrites the first `n_global` rows.)

    Args:
        q, k, v: (B, H, N, Dh).
        reach: keys to each side.
        n_global: global tokens, at the start of the text.
        key_valid: bool, (B, N), True = a real token; None: all are.
    """
    block = max(reach, 1)
    layout = neighbour_layout(-(-q.shape[2] // block), before=1, after=1, device=q.device)
    see = functools.partial(global_mask, reach=reach, n_global=0)
    heads = block_sparse_attention(q, k, v, layout, block=block, see=see, key_valid=key_valid, n_shared=n_global)
    if n_global:
        mask = None if key_valid is None else padding_mask(key_valid)
        heads = torch.cat([attend(q[:, :, :n_global], k, v, mask=mask), heads[:, :, n_global:]], dim=2)
    return heads
