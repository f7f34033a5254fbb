"""What sampling does to logits before it draws: cut off unlikely tokens, or make repeated ones less likely.

Each filter maps logits (..., V) to new ones; what may not be drawn is -inf. None changes its input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits (..., V) with all but the k largest set to -inf (ties with the k-th are kept).

    Example:
        >>> keep_top_k(torch.tensor([1.0, 3.0, 2.0]), 2)
        tensor([-inf, 3., 2.])

    Source: Fan et al. 2018.
    """
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"k: expected 1..{logits.shape[-1]}, the vocabulary size, got {k}")
    threshold = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < threshold, float("-inf"))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits (..., V) cut to the smallest set of tokens whose probability reaches p; never empty.

    Example:
        >>> keep_top_p(torch.tensor([0.5, 0.3, 0.2]).log(), 0.6).exp()
        tensor([0.5000, 0.3000, 0.0000])

    Source: Holtzman et al. 2020, section 3.1.
    """
    if not 0 < p <= 1:
        raise ValueError(f"p: expected a probability in (0, 1], got {p}")
    ordered, index = logits.sort(dim=-1, descending=True)
    probs = ordered.softmax(dim=-1)
    drop = probs.cumsum(dim=-1) - probs >= p  # the mass of the better tokens already suffices
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, index, drop), float("-inf"))


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Logits (..., V) cut to the tokens that are at least `p` times as probable as the best one.

    Example:
        >>> keep_min_p(torch.tensor([0.5, 0.3, 0.2]).log(), 0.5).exp()
        tensor([0.5000, 0.3000, 0.0000])

    Source: Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling".
    """
    if not 0 < p <= 1:
        raise ValueError(f"p: expected a share in (0, 1], got {p}")
    best = logits.max(dim=-1, keepdim=True).values
    return logits.masked_fill(logits < best + math.log(p), float("-inf"))


def penalise_repeats(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits (B, V) in which the tokens `seen` (B, N) count less: positive ones divided by `penalty`, others times it.

    The rule depends on where the zero of the logits lies, which the softmax does not.

    Example:
        >>> penalise_repeats(torch.tensor([[4.0, 3.0, -1.0]]), torch.tensor([[0, 2]]), 2.0)
        tensor([[ 2.,  3., -2.]])

    Source: Keskar et al. 2019, "CTRL", section 4.1 (there for positive logits); multiplying negative ones is the
    common repair.
    """
    if penalty < 1:
        raise ValueError(f"penalty: expected at least 1, got {penalty}")
    some = logits.gather(-1, seen)
    return logits.scatter(-1, seen, torch.where(some > 0, some / penalty, some * penalty))
