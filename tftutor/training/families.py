"""Four families of language models at one size, and a task on which they differ: they mix tokens in different ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.checks import expect_choice
from tftutor.config import BlockConfig, HybridConfig
from tftutor.config.architectures import Mixer
from tftutor.data.shakespeare import CHARACTERS
from tftutor.data.synthetic import FIRST_ID, selective_copy_batch

# name -> width, width of the feed-forward layers, one mixer per layer, positions; about 106,000 parameters each
_SHAPES: dict[str, tuple[int, int, tuple[str, ...], str]] = {
    "transformer": (64, 256, ("attention",) * 2, "rope"),
    "retnet": (64, 224, ("retention",) * 2, "rope"),
    "mamba": (68, 256, ("mamba",) * 3, "none"),
    "hybrid": (56, 158, ("mamba", "mamba", "attention", "mamba"), "none"),
}
FAMILIES = tuple(_SHAPES)
"""The names that `family_config` knows."""


def family_config(family: str, *, vocab_size: int = len(CHARACTERS), max_len: int = 64, **changes: Any
                  ) -> HybridConfig:  # fmt: skip
    """A small model of one family; with the vocabulary of Shakespeare's plays, all have the same size within 2 %.

    Attention and retention are followed by a feed-forward layer, Mamba is not. The hybrid attends in one layer of four
    and has no positions, as Jamba (Lieber et al. 2024, section 6) has none.

    Args:
        family: one of `FAMILIES`.
        vocab_size: number of symbols.
        max_len: positions; matters to attention only.
        changes: other fields of `HybridConfig`.
    """
    expect_choice("family", family, FAMILIES)
    d_model, d_ff, mixers, positions = _SHAPES[family]
    fields: dict[str, Any] = {"mixers": mixers, "positions": positions, "d_state": 8} | changes
    block = BlockConfig(d_model=d_model, n_heads=4, d_ff=d_ff, activation="gelu")
    return HybridConfig(block=block, vocab_size=vocab_size, max_len=max_len, **fields)


def train_copying(
    model: nn.Module, *, steps: int = 350, length: int = 12, n_data: int = 3, n_symbols: int = 6, seed: int = 0,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> float:  # fmt: skip
    """Train `model` in place on selective copying; the share of symbols that it then gets right on fresh texts.

    Args:
        model: takes tokens (B, T), gives logits (B, T, V); V at least FIRST_ID + 2 + n_symbols.
        steps: updates, of 64 texts each.
        length: tokens in which the symbols are scattered.
        n_data: symbols in a text.
        n_symbols: how many there are to choose from; guessing is right in 1 / n_symbols of all cases.
        seed: of the texts; seed the weights yourself.
        track: wraps the iterable of steps, such as `tftutor.notebook.progress`.
    """
    draw = torch.Generator().manual_seed(seed)

    def texts(count: int) -> tuple[Tensor, Tensor]:
        return selective_copy_batch(count, length, n_data, n_symbols, generator=draw)

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)
    model.train()
    for _ in track(range(steps)):
        tokens, answers = texts(64)
        loss = F.cross_entropy(model(tokens)[:, -n_data:].flatten(0, 1), answers.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    tokens, answers = texts(1000)
    with torch.no_grad():
        return float((model(tokens)[:, -n_data:].argmax(dim=-1) == answers).float().mean())


def copying_config(mixer: Mixer, *, n_symbols: int = 6) -> HybridConfig:
    """Two layers of width 32 for `train_copying`; Mamba with 8 cells."""
    block = BlockConfig(d_model=32, n_heads=2, d_ff=64, activation="gelu")
    return HybridConfig(block=block, vocab_size=FIRST_ID + 2 + n_symbols, mixers=(mixer,) * 2, d_state=8, max_len=64,
                        positions="none" if mixer == "mamba" else "rope")  # fmt: skip
