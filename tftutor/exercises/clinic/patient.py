"""The Transformer of the repair exercise: the right one, and the eight lines that are exchanged for wrong ones."""

from __future__ import annotations

import inspect
import linecache
import math
from collections.abc import Collection
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Transformer(nn.Module):
    """A small causal language model with a cache. In its masks True = may attend."""

    def __init__(self, n_tokens, width=24, n_heads=3, n_layers=2, max_len=32):
        super().__init__()
        self.n_heads = n_heads
        self.token = nn.Embedding(n_tokens, width)
        self.place = nn.Embedding(max_len, width)
        self.layers = nn.ModuleList()
        for _ in range(n_layers):
            parts = {name: nn.Linear(width, width) for name in "qkvo"}
            parts |= {"up": nn.Linear(width, 96), "down": nn.Linear(96, width)}
            parts |= {"norm_1": nn.LayerNorm(width), "norm_2": nn.LayerNorm(width)}
            self.layers.append(nn.ModuleDict(parts))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, n_tokens)

    def split(self, x):
        """(B, T, D) -> (B, H, T, Dh)."""
        n_rows, length, width = x.shape
        d_head = width // self.n_heads
        return x.view(n_rows, length, self.n_heads, d_head).transpose(1, 2)

    def attend(self, q, k, v, mask):
        """Queries (B, H, T, Dh), keys and values (B, H, S, Dh), mask (T, S)."""
        scale = math.sqrt(q.shape[-1])
        scores = q @ k.mT / scale
        scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        return weights @ v

    def step(self, tokens, past=None):
        """Logits (B, T, V) of tokens (B, T) behind the past, and the new past."""
        length = tokens.shape[1]
        n_past = 0 if past is None else past[0][0].shape[2]
        positions = torch.arange(n_past, n_past + length)
        mask = torch.ones(length, n_past + length).tril(n_past).bool()
        x, kept = self.token(tokens) + self.place(positions), []
        for i, layer in enumerate(self.layers):
            y = layer["norm_1"](x)
            q, k, v = (self.split(layer[name](y)) for name in "qkv")
            if past is not None:
                k = torch.cat([past[i][0], k], dim=2)
                v = torch.cat([past[i][1], v], dim=2)
            kept.append((k, v))
            heads = self.attend(q, k, v, mask)
            x = x + layer["o"](heads.transpose(1, 2).flatten(2))
            x = x + layer["down"](layer["up"](layer["norm_2"](x)).relu())
        return self.out(self.norm(x)), kept

    def forward(self, tokens):
        """Logits (B, T, V) of tokens (B, T), with nothing before them."""
        return self.step(tokens)[0]

    def loss(self, targets, real):
        """Mean nats per real token; targets (B, T), real (B, T) bool; BOS is 1."""
        inputs = F.pad(targets[:, :-1], (1, 0), value=1)
        scores = self(inputs)
        nats = F.cross_entropy(scores.transpose(1, 2), targets, reduction="none")
        return nats[real].mean()


class Bug(NamedTuple):
    """One line that was exchanged."""

    name: str
    right: str
    wrong: str


BUGS = (
    Bug("split", "return x.view(n_rows, length, self.n_heads, d_head).transpose(1, 2)",
        "return x.reshape(n_rows, self.n_heads, length, d_head)"),
    Bug("scale", "scale = math.sqrt(q.shape[-1])", "scale = math.sqrt(self.n_heads * q.shape[-1])"),
    Bug("polarity", 'scores = scores.masked_fill(~mask, float("-inf"))',
        'scores = scores.masked_fill(mask, float("-inf"))'),
    Bug("axis", "weights = scores.softmax(dim=-1)", "weights = scores.softmax(dim=-2)"),
    Bug("positions", "positions = torch.arange(n_past, n_past + length)", "positions = torch.arange(length)"),
    Bug("shift", "inputs = F.pad(targets[:, :-1], (1, 0), value=1)", "inputs = targets"),
    Bug("softmax", "scores = self(inputs)\n", "scores = self(inputs).softmax(dim=-1)\n"),
    Bug("padding", "return nats[real].mean()", "return nats.mean()"),
)  # fmt: skip
NAMES = tuple(bug.name for bug in BUGS)


def source(bugs: Collection[str] = ()) -> str:
    """The text of the class with these bugs in it."""
    text = inspect.getsource(Transformer)
    for bug in BUGS:
        if bug.name in bugs:
            text = text.replace(bug.right, bug.wrong)
    return text


def build(text: str) -> type[nn.Module]:
    """The class that a text defines."""
    name = f"<transformer {abs(hash(text))}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace = {"math": math, "torch": torch, "nn": nn, "F": F, "Tensor": Tensor}
    exec(compile(text, name, "exec"), namespace)  # noqa: S102 - the text is ours
    return namespace["Transformer"]


def variant(*bugs: str) -> type[nn.Module]:
    """The class with these bugs in it, none: the right one."""
    return build(source(bugs))
