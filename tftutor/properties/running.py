"""Running what is compared: no gradients, the same random numbers, one number out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]


def run(fn: Function, *inputs: Any, seed: int = 0, **named: Any) -> Any:
    """fn(...) without gradients, from a fixed random state that is put back afterwards."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        return fn(*inputs, **named)


def largest(x: Tensor) -> float:
    """The largest absolute value; 0 if there is none."""
    return x.abs().max().item() if x.numel() else 0.0


def altered(x: Tensor) -> Tensor:
    """Different content: other ids, none larger than the largest of x; other vectors."""
    if not x.is_floating_point():
        if x.max() == 0:
            raise ValueError("x: expected at least one id above 0, got zeros only")
        return (x + 1) % (x.max() + 1)
    return torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(7))
