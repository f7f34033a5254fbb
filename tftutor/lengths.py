"""Trained models on texts longer than those of their training: the loss at each place, endless streams, hidden needles.

Three questions are kept apart: does a model run, does it predict as well as before, and does it use what is far away?
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.data.shakespeare import encode_text
from tftutor.models import GPT
from tftutor.state import DecoderState
from tftutor.training.small import train_small

MARK = "]"  # rare: 746 times in the 5 million characters of the training plays
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def place_losses(read: Callable[[Tensor], Tensor], windows: Tensor, *, batch_size: int = 32) -> Tensor:
    """Mean nats of each character by its place, (T,) float64.

    Args:
        read: gives logits (B, T, V) for tokens (B, T): a model, `sliding(model, ...)`, `masked(model, ...)`.
        windows: characters, (n, T + 1); the first is only read.
        batch_size: windows read at once.
    """
    total = torch.zeros(windows.shape[1] - 1, dtype=torch.float64)
    with torch.no_grad():
        for part in windows.split(batch_size):
            nats = F.cross_entropy(read(part[:, :-1]).mT, part[:, 1:], reduction="none")
            total += nats.double().sum(dim=0)
    return total / len(windows)


def sliding(model: GPT, *, window: int, sinks: int = 0) -> Callable[[Tensor], Tensor]:
    """`model` reading with a cache of the first `sinks` and the latest `window` tokens, renumbered (`SlidingState`)."""
    return lambda tokens: model.step(tokens, model.new_state(len(tokens), window=window, sinks=sinks))


def masked(model: GPT, mask: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`model` reading with mask(query_pos, key_pos) in the place of its causal mask, at ordinary positions 0, 1, ..."""

    def read(tokens: Tensor) -> Tensor:
        where = torch.arange(tokens.shape[1], device=tokens.device)
        x = model.positions.embed(model.embed(tokens), where)
        inputs, may_attend = model.positions.inputs(where, where), mask(where, where)
        for block in model.blocks:
            x = block(x, mask=may_attend, where=inputs)
        return model.unembed(model.norm_final(x))

    return read


class Stretch(NamedTuple):
    """What was seen of one piece of a stream."""

    read: int  # characters so far
    nats: float  # per character of this piece
    nbytes: int  # of the memory afterwards


def stream_losses(model: GPT, text: Tensor, state: DecoderState, *, every: int) -> list[Stretch]:
    """Read `text` (N,) once, character by character, and report on each piece of `every` characters.

    Args:
        model: a character model.
        text: characters, each but the first an answer.
        state: a memory of one row; `model.new_state(1, window=..., sinks=...)` takes a text of any length.
        every: characters in a piece.
    """
    report = []
    with torch.no_grad():
        for start in range(0, len(text) - 1, every):
            answers = text[start + 1 : start + 1 + every]
            logits = model.step(text[None, start : start + len(answers)], state)
            report.append(Stretch(start + len(answers), float(F.cross_entropy(logits[0], answers)), state.nbytes))
    return report


def hide_needles(windows: Tensor, places: Tensor, letters: Tensor) -> Tensor:
    """Copies of `windows` (n, L) that hold, at each of `places` (n, K) or (K,), a mark and behind it the row's letter.

    The letter of a row, from `letters` (n,), is the same at each of its places: known to those who remember the first.
    """
    places = places.expand(len(windows), -1)
    mark = encode_text(MARK).expand_as(places)
    text = windows.clone().scatter_(1, places, mark)
    return text.scatter_(1, places + 1, letters[:, None].expand_as(places))


def draw_letters(count: int, *, generator: torch.Generator) -> Tensor:
    """Ids of random small letters, (count,)."""
    return encode_text(LETTERS)[torch.randint(len(LETTERS), (count,), generator=generator)]


def teach_needles(
    model: GPT, *, steps: int = 400, window: int = 64, batch_size: int = 16, needles: int = 4, seed: int = 0,
    learning_rate: float = 1e-3, track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> None:  # fmt: skip
    """Train `model` in place to repeat what followed the mark, without unlearning the plays.

    Each window holds `needles` marks with the same letter; the loss is that of all characters, and once more that of
    the letters behind the second mark and later ones, which can be known.
    """
    draw = torch.Generator().manual_seed(seed + 1)

    def loss(model: GPT, windows: Tensor) -> Tensor:
        slots = torch.rand(len(windows), (window - 1) // 2, generator=draw).argsort(dim=1)[:, :needles]
        places = 2 * slots.sort(dim=1).values + 1
        letters = draw_letters(len(windows), generator=draw)
        text = hide_needles(windows, places, letters)
        logits = model(text[:, :-1])
        asked = logits.gather(1, places[:, 1:, None].expand(-1, -1, logits.shape[-1]))  # at the marks
        known = F.cross_entropy(asked.flatten(0, 1), letters.repeat_interleave(needles - 1))
        return F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten()) + known

    train_small(model, steps=steps, window=window, batch_size=batch_size, learning_rate=learning_rate, seed=seed,
                loss=loss, track=track)  # fmt: skip


def needle_recall(
    read: Callable[[Tensor], Tensor], windows: Tensor, distances: Sequence[int], *, seed: int = 0
) -> list[float]:
    """The share of windows at whose end the letter is recalled that stood `distance` characters before, for each.

    Args:
        read: gives logits (B, T, V) for tokens (B, T).
        windows: ordinary text, (n, T); the last character becomes the second mark, after which the letter is asked.
        distances: from the first mark to the second, 2 .. T - 1.
        seed: of the letters.
    """
    draw = torch.Generator().manual_seed(seed)
    found, end = [], windows.shape[1] - 1
    for distance in distances:
        letters = draw_letters(len(windows), generator=draw)
        text = hide_needles(F.pad(windows, (0, 1)), torch.tensor([end - distance, end]), letters)[:, :-1]
        with torch.no_grad():
            guess = torch.cat([read(part)[:, -1].argmax(dim=-1) for part in text.split(64)])
        found.append(float((guess == letters).double().mean()))
    return found
