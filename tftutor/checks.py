"""Checks at the door: each raises one line saying what was expected, what came, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def expect_shape(name: str, x: Tensor, **dims: int | None) -> None:
    """Raise unless `x` has one axis per keyword, each of the given size (None: any)."""
    sizes = tuple(dims.values())
    if x.ndim != len(sizes) or any(want not in (None, got) for want, got in zip(sizes, x.shape, strict=True)):
        pattern = ", ".join(axis if size is None else f"{axis}={size}" for axis, size in dims.items())
        raise ValueError(f"{name}: expected shape ({pattern}), got {tuple(x.shape)}")


def expect_mask(mask: Tensor | None) -> None:
    """Raise unless `mask` is absent or bool."""
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(f"mask: expected bool (True = may attend), got {mask.dtype}; a float to add is `bias`")


def expect_bias(bias: Tensor | None) -> None:
    """Raise unless `bias` is absent or floating point."""
    if bias is not None and not bias.is_floating_point():
        raise TypeError(f"bias: expected floats to add to the scores, got {bias.dtype}; a bool is `mask`")


def expect_four_axes(name: str, x: Tensor | None) -> None:
    """Raise unless `x` is absent or (B, H, T, S), with 1 for axes along which it does not vary."""
    if x is not None and x.ndim != 4:
        raise ValueError(
            f"{name}: expected axes (B, H, T, S), got {tuple(x.shape)}; for padding use padding_mask(valid)"
        )


def expect_tokens(name: str, tokens: Tensor, vocab_size: int) -> None:
    """Raise unless `tokens` are ids (B, T) within a vocabulary of `vocab_size`."""
    if tokens.dtype != torch.int64:
        raise TypeError(f"{name}: expected token ids of dtype torch.int64, got {tokens.dtype}")
    expect_shape(name, tokens, B=None, T=None)
    if tokens.numel():
        low, high = (int(x) for x in tokens.aminmax())
        if low < 0 or high >= vocab_size:
            raise ValueError(f"{name}: expected ids in 0..{vocab_size - 1}, got {low if low < 0 else high}")


def expect_valid(name: str, valid: Tensor | None, tokens: Tensor) -> None:
    """Raise unless `valid` is absent or bool of the shape of `tokens` (B, T)."""
    if valid is None:
        return
    if valid.dtype != torch.bool:
        raise TypeError(f"{name}: expected bool (True = a real token), got {valid.dtype}")
    if valid.shape != tokens.shape:
        raise ValueError(f"{name}: expected the shape of the tokens {tuple(tokens.shape)}, got {tuple(valid.shape)}")


def expect_choice(name: str, value: str, options: Sequence[str]) -> None:
    """Raise unless `value` is one of `options`."""
    if value not in options:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {value!r}")


def expect_positive(**values: float) -> None:
    """Raise unless every keyword is greater than zero."""
    for name, value in values.items():
        if not value > 0:  # NaN is not
            raise ValueError(f"{name}: expected a positive number, got {value}")


def expect_probability(**values: float) -> None:
    """Raise unless every keyword is in [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}: expected a probability in [0, 1), got {value}")
