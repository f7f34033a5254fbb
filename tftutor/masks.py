"""Masks: bool, True = this query may look at this key, four axes (B, H, T, S), combined with `&`.

Every mask that depends on order is computed from two integer vectors, `query_pos` and `key_pos`, either
(T,) and (S,), the same for every row, or (B, T) and (B, S). A key position of -1 marks a key that is not
there (padding, or an empty cache slot); a query position of -1 marks a query that is padding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.checks import expect_mask


def _pair(query_pos: Tensor, key_pos: Tensor) -> tuple[Tensor, Tensor]:
    """Positions with axes that broadcast to (B or 1, 1, T, S)."""
    query, key = query_pos[..., :, None], key_pos[..., None, :]
    lift = 2 if query_pos.ndim == key_pos.ndim == 1 else 1
    if query_pos.ndim != key_pos.ndim:  # one is per row, the other common to all rows
        query = query if query_pos.ndim == 2 else query[None]
        key = key if key_pos.ndim == 2 else key[None]
    return (query[None, None], key[None, None]) if lift == 2 else (query[:, None], key[:, None])


def causal_mask(query_pos: Tensor, key_pos: Tensor) -> Tensor:
    """Each query sees the keys at or before its own position.

    Args:
        query_pos, key_pos: integer positions, (T,) and (S,) or (B, T) and (B, S); -1 = nothing there.

    Returns:
        bool, (1 or B, 1, T, S); True where the query may attend.

    Example:
        >>> causal_mask(torch.arange(3, 5), torch.arange(5))[0, 0].int()   # two new tokens after three old ones
        tensor([[1, 1, 1, 1, 0],
                [1, 1, 1, 1, 1]], dtype=torch.int32)

    Source: Vaswani et al. 2017, section 3.2.3.
    """
    query, key = _pair(query_pos, key_pos)
    return (key <= query) & (key >= 0)


def padding_mask(valid: Tensor) -> Tensor:
    """Nobody looks at padding: (B, 1, 1, S) from `valid` (B, S), True = a real token.

    Example:
        >>> padding_mask(torch.tensor([[True, True, False]]))[0, 0].int()
        tensor([[1, 1, 0]], dtype=torch.int32)
    """
    expect_mask(valid)
    return valid[:, None, None, :]


def window_mask(query_pos: Tensor, key_pos: Tensor, window: int) -> Tensor:
    """Causal, and at most `window` keys back, the query's own position included.

    Example:
        >>> window_mask(torch.arange(4), torch.arange(4), window=2)[0, 0].int()
        tensor([[1, 0, 0, 0],
                [1, 1, 0, 0],
                [0, 1, 1, 0],
                [0, 0, 1, 1]], dtype=torch.int32)
    """
    if window < 1:
        raise ValueError(f"window: expected at least 1 position, got {window}")
    query, key = _pair(query_pos, key_pos)
    return (key <= query) & (key >= 0) & (key > query - window)


def prefix_mask(query_pos: Tensor, key_pos: Tensor, prefix_len: int | Tensor) -> Tensor:
    """Causal, but every real query sees the whole prefix: positions below `prefix_len` (int or (B,)).

    Source: Raffel et al. 2020, section 3.2.1 ("prefix LM").
    """
    query, key = _pair(query_pos, key_pos)
    prefix = prefix_len.view(-1, 1, 1, 1) if isinstance(prefix_len, Tensor) else prefix_len
    return ((key <= query) | (key < prefix)) & (key >= 0) & (query >= 0)


def count_positions(valid: Tensor) -> Tensor:
    """Positions (B, T) of real tokens, -1 for padding: the number of real tokens before each.

    Left and right padding then give the same positions.

    Example:
        >>> count_positions(torch.tensor([[False, True, True], [True, True, False]]))
        tensor([[-1,  0,  1],
                [ 0,  1, -1]])
    """
    expect_mask(valid)
    return (valid.long().cumsum(dim=-1) - 1).masked_fill(~valid, -1)


def to_additive(mask: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The same mask as floats to add to scores: 0 where allowed, -inf where not.

    A row with nothing allowed is all -inf, whose softmax is NaN: the reason this package keeps masks bool.
    """
    expect_mask(mask)
    zeros = torch.zeros(mask.shape, dtype=dtype or torch.get_default_dtype(), device=mask.device)
    return zeros.masked_fill(~mask, float("-inf"))


def from_additive(bias: Tensor) -> Tensor:
    """Bool mask (True = may attend) of an additive one: blocked where it is -inf or the smallest finite number."""
    if not bias.is_floating_point():
        raise TypeError(f"bias: expected an additive float mask, got {bias.dtype}")
    return bias > torch.finfo(bias.dtype).min


def to_blocked(mask: Tensor) -> Tensor:
    """The same mask in the sense of `nn.MultiheadAttention` and `nn.Transformer`: True = may NOT attend."""
    expect_mask(mask)
    return ~mask
