"""Trained associative recall: one layer that has to store pairs and give each back, by attention or from a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from tftutor.attention import attend
from tftutor.checks import expect_choice, expect_positive
from tftutor.efficient import linear_attention
from tftutor.masks import causal_mask
from tftutor.retention import Retention
from tftutor.ssm import Mamba

N_KEYS, N_VALUES = 64, 16
PAIRS = (4, 8, 16, 32, 64)
"""Numbers of pairs in a text, in training and afterwards."""
MIXERS = ("attention", "linear attention", "retention", "mamba")
"""What the one layer can be."""


def draw_pairs(count: int, n_pairs: int, *, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """`count` texts: pairs first, then as many questions, each key once, in another order.

    Every pair is one token, and so is every question, so that one layer is enough to answer.

    Returns:
        keys (count, 2 * n_pairs); values of the same shape, N_VALUES where nothing but a key is told; and the answers
        to the questions, (count, n_pairs).
    """
    expect_positive(count=count, n_pairs=n_pairs)
    if n_pairs > N_KEYS:
        raise ValueError(f"n_pairs: expected at most {N_KEYS} different keys, got {n_pairs}")
    keys = torch.rand(count, N_KEYS, generator=generator).argsort(dim=1)[:, :n_pairs]
    values = torch.randint(N_VALUES, (count, n_pairs), generator=generator)
    asked = torch.rand(count, n_pairs, generator=generator).argsort(dim=1)
    nothing = torch.full_like(values, N_VALUES)
    return torch.cat([keys, keys.gather(1, asked)], 1), torch.cat([values, nothing], 1), values.gather(1, asked)


class _Head(nn.Module):
    """One head of attention, with or without softmax."""

    def __init__(self, width: int, *, softmax: bool) -> None:
        super().__init__()
        self.softmax = softmax
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (proj(x)[:, None] for proj in (self.q_proj, self.k_proj, self.v_proj))  # (B, 1, T, D)
        if self.softmax:
            place = torch.arange(x.shape[1], device=x.device)
            return self.o_proj(attend(q, k, v, mask=causal_mask(place, place))[:, 0])
        return self.o_proj(linear_attention(q, k, v, causal=True)[:, 0])


class Recaller(nn.Module):
    """Embeddings of key and value, one layer that mixes tokens, and a guess at the value.

    Of width D, linear attention keeps D * D + D numbers, retention and Mamba D * D. Mamba goes without its convolution
    here, which would mix each pair with the three before it.
    """

    def __init__(self, mixer: str, *, width: int = 16) -> None:
        super().__init__()
        expect_choice("mixer", mixer, MIXERS)
        self.key, self.value = nn.Embedding(N_KEYS, width), nn.Embedding(N_VALUES + 1, width)
        self.norm_mixer, self.norm_final = nn.LayerNorm(width), nn.LayerNorm(width)
        if mixer == "retention":
            self.mixer = Retention(width, 1)
        elif mixer == "mamba":
            self.mixer = Mamba(width, d_state=width, expand=1, kernel=1)
        else:
            self.mixer = _Head(width, softmax=mixer == "attention")
        self.out = nn.Linear(width, N_VALUES)

    def forward(self, keys: Tensor, values: Tensor) -> Tensor:
        """Logits (B, T, N_VALUES) from keys and values (B, T)."""
        x = self.key(keys) + self.value(values)
        return self.out(self.norm_final(x + self.mixer(self.norm_mixer(x))))


def train_recall(
    model: nn.Module, *, steps: int = 2000, sizes: Sequence[int] = PAIRS, learning_rate: float = 1e-2, seed: int = 0,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> None:  # fmt: skip
    """Train `model` in place on texts of all `sizes`; every update sees one size, and 256 pairs or more of it."""
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps)
    model.train()
    for _ in track(range(steps)):
        n_pairs = sizes[int(torch.randint(len(sizes), (1,), generator=draw))]
        keys, values, answers = draw_pairs(max(16, 256 // n_pairs), n_pairs, generator=draw)
        loss = F.cross_entropy(model(keys, values)[:, n_pairs:].flatten(0, 1), answers.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def recall_share(model: nn.Module, n_pairs: int, *, texts: int = 200, seed: int = 1000) -> float:
    """The share of questions that `model` answers rightly in fresh texts of `n_pairs` pairs."""
    keys, values, answers = draw_pairs(texts, n_pairs, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return float((model(keys, values)[:, n_pairs:].argmax(dim=-1) == answers).float().mean())
