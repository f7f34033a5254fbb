"""Small invented tasks whose right answer is known, to see what a mechanism can and cannot do.

Every function draws from the generator it is given and from nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from tftutor.data.batching import Batch, Pair, collate
from tftutor.data.vocabulary import SPECIAL_SYMBOLS

FIRST_ID = len(SPECIAL_SYMBOLS)
"""The first ordinary id; symbol i of a task has the id FIRST_ID + i."""


def copy_batch(
    batch_size: int, max_length: int, n_symbols: int, *, generator: Generator, reverse: bool = False,
) -> Batch:
    """Random strings of 1 to `max_length` symbols; the answer is the same string, or the string reversed.

    Ids are FIRST_ID to FIRST_ID + n_symbols - 1, so a model needs a vocabulary of FIRST_ID + n_symbols.
    """
    _expect_positive(batch_size=batch_size, max_length=max_length, n_symbols=n_symbols)
    lengths = torch.randint(1, max_length + 1, (batch_size,), generator=generator).tolist()
    rows = torch.randint(FIRST_ID, FIRST_ID + n_symbols, (batch_size, max_length), generator=generator).tolist()
    words = [tuple(row[:length]) for row, length in zip(rows, lengths, strict=True)]
    return collate([Pair(word, word[::-1] if reverse else word) for word in words])


class Lookup(NamedTuple):
    """A batch of the lookup task, all (B, T) int64: each position must report the value its partner holds.

    Args:
        symbols: 0..T-1 in random order.
        values: 0..n_values-1, at random.
        partners: the position where the symbol's partner stands; what attention should find.
        targets: the value at that position.
    """

    symbols: Tensor
    values: Tensor
    partners: Tensor
    targets: Tensor


def lookup_batch(partner: Tensor, batch_size: int, n_values: int, *, generator: Generator) -> Lookup:
    """Every symbol once, each with a random value; the answer at a symbol is the value of its partner.

    Args:
        partner: (T,) int64, for each symbol the symbol to look up; for example `cycle(3)` or `swapped_pairs(12)`.
        batch_size: B.
        n_values: how many values there are.
        generator: source of the draws.
    """
    _expect_positive(batch_size=batch_size, n_values=n_values)
    n = len(partner)
    if partner.ndim != 1 or n < 1 or int(partner.min()) < 0 or int(partner.max()) >= n:
        raise ValueError(f"partner: expected symbols 0..{n - 1} in shape (T,), got {partner.tolist()!r:.60}")
    symbols = torch.rand(batch_size, n, generator=generator).argsort(dim=1)         # (B, T)
    place = symbols.argsort(dim=1)                                                  # (B, T): where each symbol stands
    values = torch.randint(n_values, (batch_size, n), generator=generator)
    partners = place.gather(1, partner[symbols])
    return Lookup(symbols, values, partners, values.gather(1, partners))


def cycle(n: int) -> Tensor:
    """Partners (n,): each symbol looks up the next one, the last the first."""
    return (torch.arange(n) + 1) % n


def swapped_pairs(n: int) -> Tensor:
    """Partners (n,): symbols 0 and 1 look up each other, so do 2 and 3, and so on; n is even."""
    if n % 2:
        raise ValueError(f"n: expected an even number, got {n}")
    return torch.arange(n) ^ 1


def recall_batch(
    batch_size: int, n_pairs: int, n_keys: int, n_values: int, *, generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Associative recall: key value key value ... key, and the answer is the value that followed that key.

    Keys of a row are all different. Key i has the id FIRST_ID + i, value j the id FIRST_ID + n_keys + j.

    Returns:
        tokens (B, 2 * n_pairs + 1), targets (B,).
    """
    _expect_positive(batch_size=batch_size, n_pairs=n_pairs, n_keys=n_keys, n_values=n_values)
    if n_pairs > n_keys:
        raise ValueError(f"n_pairs: expected at most n_keys={n_keys} different keys, got {n_pairs}")
    keys = torch.rand(batch_size, n_keys, generator=generator).argsort(dim=1)[:, :n_pairs] + FIRST_ID
    values = torch.randint(n_values, (batch_size, n_pairs), generator=generator) + FIRST_ID + n_keys
    asked = torch.randint(n_pairs, (batch_size, 1), generator=generator)
    memory = torch.stack([keys, values], dim=2).flatten(1)                          # (B, 2 * n_pairs)
    return torch.cat([memory, keys.gather(1, asked)], dim=1), values.gather(1, asked).squeeze(1)


def selective_copy_batch(
    batch_size: int, length: int, n_data: int, n_symbols: int, *, generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Selective copying: symbols scattered among blanks, then as many marks; the answers at the marks are the symbols.

    The blank has the id FIRST_ID, the mark FIRST_ID + 1, symbol i the id FIRST_ID + 2 + i.

    Returns:
        tokens (B, length + n_data), targets (B, n_data): the symbols in their order.

    Source: Gu and Dao 2023, "Mamba", section 3.1, after Arjovsky et al. 2016; the marks are ours.
    """
    _expect_positive(batch_size=batch_size, length=length, n_data=n_data, n_symbols=n_symbols)
    if n_data > length:
        raise ValueError(f"n_data: expected at most length={length}, got {n_data}")
    places = torch.rand(batch_size, length, generator=generator).argsort(dim=1)[:, :n_data].sort(dim=1).values
    targets = torch.randint(n_symbols, (batch_size, n_data), generator=generator) + FIRST_ID + 2
    tokens = torch.full((batch_size, length), FIRST_ID).scatter(1, places, targets)
    return torch.cat([tokens, torch.full((batch_size, n_data), FIRST_ID + 1)], dim=1), targets


def cipher_batch(batch_size: int, n_pairs: int, n_symbols: int, *, generator: Generator) -> tuple[Tensor, Tensor]:
    """Episodes of a secret code: plain cipher plain cipher ..., with a new code for every row.

    A code is a permutation of the symbols 0..n_symbols-1. Plain symbol i has the id FIRST_ID + i, cipher symbol j the
    id FIRST_ID + n_symbols + j. Only a model that reads the earlier pairs of its row can answer.

    Returns:
        tokens (B, 2 * n_pairs), known (B, n_pairs) bool: True where the plain symbol occurred earlier in the row, so
        that its cipher symbol can be known and not only guessed.
    """
    _expect_positive(batch_size=batch_size, n_pairs=n_pairs, n_symbols=n_symbols)
    code = torch.rand(batch_size, n_symbols, generator=generator).argsort(dim=1)    # (B, n_symbols)
    plain = torch.randint(n_symbols, (batch_size, n_pairs), generator=generator)
    tokens = torch.stack([plain + FIRST_ID, code.gather(1, plain) + FIRST_ID + n_symbols], dim=2).flatten(1)
    same = plain[:, :, None] == plain[:, None, :]                                   # (B, n_pairs, n_pairs)
    return tokens, same.tril(-1).any(dim=2)


def _expect_positive(**sizes: int) -> None:
    """Raise unless all are at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")
