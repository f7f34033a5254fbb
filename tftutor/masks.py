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


def _expect_at_least(low: int, **counts: int) -> None:
    """Raise unless every keyword is `low` or more."""
    for name, count in counts.items():
        if count < low:
            raise ValueError(f"{name}: expected at least {low} position{'s' * (low != 1)}, got {count}")


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
    _expect_at_least(1, window=window)
    query, key = _pair(query_pos, key_pos)
    return (key <= query) & (key >= 0) & (key > query - window)


def prefix_mask(query_pos: Tensor, key_pos: Tensor, prefix_len: int | Tensor) -> Tensor:
    """Causal, but every real query sees the whole prefix: positions below `prefix_len` (int or (B,)).

    Source: Raffel et al. 2020, section 3.2.1 ("prefix LM").
    """
    query, key = _pair(query_pos, key_pos)
    prefix = prefix_len.view(-1, 1, 1, 1) if isinstance(prefix_len, Tensor) else prefix_len
    return ((key <= query) | (key < prefix)) & (key >= 0) & (query >= 0)


def dilated_mask(query_pos: Tensor, key_pos: Tensor, window: int, dilation: int) -> Tensor:
    """Causal; of the keys back from its own position a query sees every `dilation`-th, at most `window` in all.

    Example:
        >>> dilated_mask(torch.arange(5), torch.arange(5), window=2, dilation=2)[0, 0].int()
        tensor([[1, 0, 0, 0, 0],
                [0, 1, 0, 0, 0],
                [1, 0, 1, 0, 0],
                [0, 1, 0, 1, 0],
                [0, 0, 1, 0, 1]], dtype=torch.int32)

    Source: Beltagy et al. 2020, section 3.1 ("dilated sliding window", there for both sides).
    """
    _expect_at_least(1, window=window, dilation=dilation)
    query, key = _pair(query_pos, key_pos)
    back = query - key
    return (back >= 0) & (back % dilation == 0) & (back < window * dilation) & (key >= 0)


def global_mask(query_pos: Tensor, key_pos: Tensor, reach: int, n_global: int) -> Tensor:
    """Both directions: `reach` keys to either side; the first `n_global` positions also see all and are seen by all.

    Example:
        >>> global_mask(torch.arange(5), torch.arange(5), reach=1, n_global=1)[0, 0].int()
        tensor([[1, 1, 1, 1, 1],
                [1, 1, 1, 0, 0],
                [1, 1, 1, 1, 0],
                [1, 0, 1, 1, 1],
                [1, 0, 0, 1, 1]], dtype=torch.int32)

    Source: Beltagy et al. 2020, section 3.1 ("global + sliding window").
    """
    _expect_at_least(0, reach=reach, n_global=n_global)
    query, key = _pair(query_pos, key_pos)
    near = (query - key).abs() <= reach
    return (near | (query < n_global) | (key < n_global)) & (query >= 0) & (key >= 0)


def sink_mask(query_pos: Tensor, key_pos: Tensor, window: int, n_sinks: int) -> Tensor:
    """Causal: the last `window` keys, the query's own included, and the first `n_sinks` positions of the text.

    Example:
        >>> sink_mask(torch.arange(5), torch.arange(5), window=2, n_sinks=1)[0, 0].int()
        tensor([[1, 0, 0, 0, 0],
                [1, 1, 0, 0, 0],
                [1, 1, 1, 0, 0],
                [1, 0, 1, 1, 0],
                [1, 0, 0, 1, 1]], dtype=torch.int32)

    Source: Xiao et al. 2023, section 3.2 ("attention sinks").
    """
    _expect_at_least(0, n_sinks=n_sinks)
    _, key = _pair(query_pos, key_pos)
    return window_mask(query_pos, key_pos, window) | (causal_mask(query_pos, key_pos) & (key < n_sinks))


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


def to_additive(mask: Tensor, dtype: torch.dtype | None = None, *, finite: bool = False) -> Tensor:
    """The same mask as floats to add to scores: 0 where allowed, -inf where not.

    A row with nothing allowed is all -inf, whose softmax is NaN: the reason this package keeps masks bool.

    Args:
        mask: bool, any shape.
        dtype: of the result; None: torch's default.
        finite: the smallest finite number of `dtype` instead of -inf. Two such numbers must not be added.
    """
    expect_mask(mask)
    dtype = dtype or torch.get_default_dtype()
    fill = torch.finfo(dtype).min if finite else float("-inf")
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, fill)


def from_additive(bias: Tensor) -> Tensor:
    """Bool mask (True = may attend) of an additive one: blocked where it is -inf or the smallest finite number."""
    if not bias.is_floating_point():
        raise TypeError(f"bias: expected an additive float mask, got {bias.dtype}")
    return bias > torch.finfo(bias.dtype).min


def to_blocked(mask: Tensor) -> Tensor:
    """The same mask in the sense of `nn.MultiheadAttention` and `nn.Transformer`: True = may NOT attend.

    Of `valid` (B, S) it makes their `key_padding_mask`.
    """
    expect_mask(mask)
    return ~mask


def from_blocked(blocked: Tensor) -> Tensor:
    """Bool mask (True = may attend) of one in which True means blocked."""
    if blocked.dtype != torch.bool:
        raise TypeError(f"blocked: expected bool (True = may not attend), got {blocked.dtype}")
    return ~blocked


def to_ones(valid: Tensor) -> Tensor:
    """`valid` (B, S) as Hugging Face's `attention_mask`: integers, 1 = a real token, 0 = padding."""
    expect_mask(valid)
    return valid.long()


def from_ones(attention_mask: Tensor) -> Tensor:
    """`valid` (B, S), True = a real token, of an `attention_mask` of ones and zeros; ValueError for anything else.

    An additive mask, which holds a 0 where a query *may* look, would otherwise be read the wrong way round.
    """
    valid = attention_mask == 1
    if not bool((valid | (attention_mask == 0)).all()):
        raise ValueError("attention_mask: expected ones and zeros, got other numbers; for those see from_additive")
    return valid
