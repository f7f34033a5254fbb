"""Stacks of many small blocks, wired in five ways: what arrives at the first block, and what can be trained.

The task is to predict a character of Shakespeare from the eight before it. There is no attention, so that nothing but
the wiring differs; `tftutor.training.small.train_small` trains these nets with `last_character_loss`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.checks import expect_choice
from tftutor.data.shakespeare import CHARACTERS
from tftutor.layers import LayerNorm

WIRINGS = ("plain", "norm", "residual", "post", "pre")
CONTEXT = 8  # characters that a net sees


class DeepNet(nn.Module):
    """Logits of the next character, through `depth` blocks f of two linear layers with a ReLU between.

    ::

        plain      f(x)
        norm       norm(f(x))
        residual   x + f(x)
        post       norm(x + f(x))
        pre        x + f(norm(x)), and a norm before the output

    Args:
        wiring: one of these five.
        depth: blocks.
        width: features of the stream, and hidden units of a block.
        he: draw weights from N(0, 2 / inputs) instead of torch's smaller uniform range. Source: He et al. 2015.
    """

    def __init__(self, wiring: str, depth: int, *, width: int = 64, he: bool = False) -> None:
        super().__init__()
        expect_choice("wiring", wiring, WIRINGS)
        self.wiring = wiring
        self.embed = nn.Embedding(len(CHARACTERS), 16)
        self.enter = nn.Linear(16 * CONTEXT, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.norms = nn.ModuleList(LayerNorm(width) for _ in range(depth if wiring in ("norm", "post", "pre") else 0))
        self.norm_final = LayerNorm(width) if wiring == "pre" else nn.Identity()
        self.leave = nn.Linear(width, len(CHARACTERS))
        if he:
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)

    def states(self, tokens: Tensor) -> list[Tensor]:
        """What enters the first block and what leaves each block, depth + 1 tensors (B, D), from tokens (B, 8)."""
        x = self.enter(self.embed(tokens).flatten(-2))
        states = [x]
        for i, f in enumerate(self.blocks):
            match self.wiring:
                case "plain":
                    x = f(x)
                case "norm":
                    x = self.norms[i](f(x))
                case "residual":
                    x = x + f(x)
                case "post":
                    x = self.norms[i](x + f(x))
                case "pre":
                    x = x + f(self.norms[i](x))
            states.append(x)
        return states

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, 8) -> logits (B, V)."""
        return self.leave(self.norm_final(self.states(tokens)[-1]))


def last_character_loss(model: nn.Module, windows: Tensor) -> Tensor:
    """Mean cross-entropy in nats of the last character of `windows` (B, 9) from the eight before it."""
    return F.cross_entropy(model(windows[:, :-1]), windows[:, -1])


def gradient_sizes(net: DeepNet, windows: Tensor) -> Tensor:
    """How large the gradient of the loss is at each state, (depth + 1,): its root mean square over the batch."""
    with torch.enable_grad():
        states = net.states(windows[:, :-1])
        loss = F.cross_entropy(net.leave(net.norm_final(states[-1])), windows[:, -1])
        gradients = torch.autograd.grad(loss, states)
    return torch.stack([gradient.square().mean().sqrt() for gradient in gradients])


def likeness(states: list[Tensor]) -> Tensor:
    """Mean cosine between the states of different inputs, for each of `states` (B, D): 1 if all point one way."""
    means = []
    for x in states:
        table = F.normalize(x.detach(), dim=-1)
        n = len(table)
        means.append(((table @ table.T).sum() - n) / (n * (n - 1)))
    return torch.stack(means)
