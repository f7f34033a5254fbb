"""Mixture of experts: many feed-forward layers, of which each token uses a few.

Source: Shazeer et al. 2017 (sparsely gated); Fedus et al. 2022, "Switch Transformers", section 2 (top 1, load balance,
routing in float32).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.checks import expect_positive
from tftutor.config import BlockConfig
from tftutor.layers import build_ffn
from tftutor.state import memory_dtype


class Routing(NamedTuple):
    """Which experts each token uses."""

    experts: Tensor  # (..., n_active), numbers of the chosen ones, the most likely first
    weights: Tensor  # (..., n_active), how much each counts; they sum to 1 when several are chosen
    probabilities: Tensor  # (..., n_experts), of all


def route(logits: Tensor, n_active: int) -> Routing:
    """The `n_active` most likely experts of each token, from logits (..., n_experts).

    One expert is weighted by its own probability, so that the router learns how much it is needed; several share 1.
    Probabilities are float32 at least, whatever the logits are.
    """
    _expect_active(logits.shape[-1], n_active)
    probabilities = logits.softmax(dim=-1, dtype=memory_dtype(logits))
    weights, experts = probabilities.topk(n_active, dim=-1)
    if n_active > 1:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return Routing(experts, weights, probabilities)


def load_balance(routing: Routing, valid: Tensor | None = None) -> Tensor:
    """n_experts * sum over experts of (share of choices) * (mean probability).

    1 when all are chosen alike, n_experts when one is always chosen and sure to be; less than 1 is possible, where
    experts are chosen often and narrowly; 0 when no token is real.

    Differentiable through the probabilities; added to the loss, times about 0.01, it keeps experts from starving.

    Args:
        routing: of tokens (...,).
        valid: bool, (...,), True = a real token; None: all are.

    Source: Fedus et al. 2022, equations 4 to 6 (there for one choice a token).
    """
    n_experts = routing.probabilities.shape[-1]
    keep = slice(None) if valid is None else valid.flatten()
    chosen, probabilities = routing.experts.flatten(0, -2)[keep], routing.probabilities.flatten(0, -2)[keep]
    if not len(chosen):
        return probabilities.sum()
    share = F.one_hot(chosen, n_experts).to(probabilities.dtype).mean(dim=(0, 1))
    return n_experts * (share * probabilities.mean(dim=0)).sum()


class MixtureOfExperts(nn.Module):
    """Feed-forward layers behind a router; no token is dropped, whatever the load."""

    def __init__(self, cfg: BlockConfig, *, n_experts: int, n_active: int) -> None:
        super().__init__()
        _expect_active(n_experts, n_active)
        self.n_active = n_active
        self.router = nn.Linear(cfg.d_model, n_experts, bias=False)
        self.experts = nn.ModuleList(build_ffn(cfg) for _ in range(n_experts))
        self.observer: Callable[[Routing], None] | None = None  # sees every routing, with its gradient

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        wide = memory_dtype(x)
        with torch.autocast(x.device.type, enabled=False):  # a choice should not hang on the last bits of bfloat16
            routing = route(F.linear(x.to(wide), self.router.weight.to(wide)), self.n_active)
        if self.observer is not None:
            self.observer(routing)
        tokens, out = x.flatten(0, -2), torch.zeros_like(x).flatten(0, -2)
        experts, weights = routing.experts.flatten(0, -2), routing.weights.flatten(0, -2)
        for number, expert in enumerate(self.experts):
            rows, choice = (experts == number).nonzero(as_tuple=True)
            answers = weights[rows, choice, None] * expert(tokens[rows])
            out = out.index_add(0, rows, answers.to(out.dtype))  # under autocast answers are narrower than tokens
        return out.view_as(x)


def _expect_active(n_experts: int, n_active: int) -> None:
    """Raise unless that many experts can be chosen."""
    expect_positive(n_experts=n_experts, n_active=n_active)
    if n_active > n_experts:
        raise ValueError(f"n_active={n_active}: expected at most n_experts={n_experts}")
