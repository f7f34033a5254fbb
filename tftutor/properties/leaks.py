"""Which input reaches which output, found from outside: by changing inputs, and by gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.properties.running import Function, altered, run


def influence(fn: Function, x: Tensor) -> Tensor:
    """How far each output moves when one input is replaced: (T, T), [t, s] of output t when input s is another.

    Args:
        fn: maps x, ids (B, T) or vectors (B, T, D), to (B, T, ...).
        x: what is replaced, one position at a time.

    Returns:
        Largest absolute changes. Zero says that this replacement had no effect, not that none would have.
    """
    other, base, columns = altered(x), run(fn, x), []
    for s in range(x.shape[1]):
        changed = x.clone()
        changed[:, s] = other[:, s]
        columns.append(_largest_by_position(run(fn, changed) - base))
    return torch.stack(columns, dim=1)


def gradient_influence(fn: Function, x: Tensor) -> Tensor:
    """The same by derivatives: (T, T), [t, s] the largest gradient of output t, in a random direction, at input s.

    Args:
        fn: maps vectors (B, T, D) to (B, T, ...), differentiably.
        x: vectors (B, T, D).

    Returns:
        Zero where nothing flows; a way that is detached, or of which the slope is zero, does not show.
    """
    rows = []
    with torch.enable_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        x = x.detach().clone().requires_grad_()
        y = fn(x)
        direction = torch.randn_like(y)
        for t in range(y.shape[1]):
            (slope,) = torch.autograd.grad((y * direction)[:, t].sum(), x, retain_graph=True)
            rows.append(_largest_by_position(slope))
    return torch.stack(rows)


def leak_change(fn: Function, x: Tensor) -> float:
    """Does any later token change any earlier output? Every token of x is replaced by itself alone."""
    return _largest_above(influence(fn, x))


def leak_gradient(fn: Function, x: Tensor) -> float:
    """Does a gradient flow from any output to any later input? For `fn` of vectors (B, T, D)."""
    return _largest_above(gradient_influence(fn, x))


def _largest_by_position(x: Tensor) -> Tensor:
    """(B, T, ...) -> (T,)."""
    return x.detach().abs().flatten(2).amax(dim=(0, 2)) if x.ndim > 2 else x.detach().abs().amax(dim=0)


def _largest_above(matrix: Tensor) -> float:
    """The largest entry above the diagonal; NaN if there is one."""
    return matrix.triu(diagonal=1).max().item()
