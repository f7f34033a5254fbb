"""Mixture of experts: many feed-forward layers, of which each token uses a few.

Source: Shazeer et al. 2017 (sparsely gated); Fedus et al. 2022, "Switch Transformers", section 2 (top 1, load balance).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tftutor.config import BlockConfig
from tftutor.layers import build_ffn


class Routing(NamedTuple):
    """Which experts each token uses."""

    experts: Tensor  # (..., n_active), numbers of the chosen ones, the most likely first
    weights: Tensor  # (..., n_active), how much each counts; they sum to 1 when several are chosen
    probabilities: Tensor  # (..., n_experts), of all


def route(logits: Tensor, n_active: int) -> Routing:
    """The `n_active` most likely experts of each token, from logits (..., n_experts).

    One expert is weighted by its own probability, so that the router learns how much it is needed; several share 1.
    """
    probabilities = logits.softmax(dim=-1)
    weights, experts = probabilities.topk(n_active, dim=-1)
    if n_active > 1:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return Routing(experts, weights, probabilities)


def load_balance(routing: Routing, valid: Tensor | None = None) -> Tensor:
    """n_experts * sum over experts of (share of choices) * (mean probability).

    1 when all are chosen alike, n_experts when one is always chosen and sure to be; a little below 1 is possible, where
    experts are chosen often and narrowly.

    Differentiable through the probabilities; added to the loss, times about 0.01, it keeps experts from starving.

    Args:
        routing: of tokens (...,).
        valid: bool, (...,), True = a real token; None: all are.

    Source: Fedus et al. 2022, equations 4 to 6 (there for one choice a token).
    """
    n_experts = routing.probabilities.shape[-1]
    keep = slice(None) if valid is None else valid.flatten()
    chosen = routing.experts.flatten(0, -2)[keep]
    share = torch.nn.functional.one_hot(chosen, n_experts).to(routing.weights.dtype).mean(dim=(0, 1))
    return n_experts * (share * routing.probabilities.flatten(0, -2)[keep].mean(dim=0)).sum()


class MixtureOfExperts(nn.Module):
    """Feed-forward layers behind a router; no token is dropped, whatever the load."""

    def __init__(self, cfg: BlockConfig, *, n_experts: int, n_active: int) -> None:
        super().__init__()
        self.n_active = n_active
        self.router = nn.Linear(cfg.d_model, n_experts, bias=False)
        self.experts = nn.ModuleList(build_ffn(cfg) for _ in range(n_experts))
        self.observer: Callable[[Routing], None] | None = None  # sees every routing, with its gradient

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        routing = route(self.router(x), self.n_active)
        if self.observer is not None:
            self.observer(routing)
        tokens, out = x.flatten(0, -2), torch.zeros_like(x).flatten(0, -2)
        experts, weights = routing.experts.flatten(0, -2), routing.weights.flatten(0, -2)
        for number, expert in enumerate(self.experts):
            rows, choice = (experts == number).nonzero(as_tuple=True)
            out = out.index_add(0, rows, weights[rows, choice, None] * expert(tokens[rows]))
        return out.view_as(x)
