"""From dictionary entries to padded batches, with little padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tftutor.data.dictionary import Entry
from tftutor.data.vocabulary import BOS, EOS, LETTERS, PAD, PHONEMES


class Pair(NamedTuple):
    """One training example as ids, without beginning and end: a word's letters and one pronunciation."""

    src: tuple[int, ...]
    tgt: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Padded examples for teacher forcing; padding is at the right end of a row.

    Args:
        src: letters, then EOS, (B, S) int64.
        src_valid: (B, S) bool, True = a real token.
        tgt_in: BOS, then phonemes, (B, T) int64: what the decoder reads.
        tgt_out: phonemes, then EOS, (B, T) int64: what it must answer.
        tgt_valid: (B, T) bool, True = a real token.
    """

    src: Tensor
    src_valid: Tensor
    tgt_in: Tensor
    tgt_out: Tensor
    tgt_valid: Tensor

    @property
    def n_tokens(self) -> int:
        """How many answers count in the loss."""
        return int(self.tgt_valid.sum())

    def __len__(self) -> int:
        """The number of rows B."""
        return self.src.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


def pairs_of(entries: Iterable[Entry]) -> list[Pair]:
    """One pair for each listed pronunciation, in order.

    Raises:
        ValueError: when a word cannot be spelled with `LETTERS`; remove those with `spellable` first.
    """
    pairs = []
    for entry in entries:
        try:
            src = tuple(LETTERS.encode(entry.word))
        except ValueError:
            raise ValueError(f"entries: expected words of a-z, ' - and ., got {entry.word!r}; "
                             "pass spellable(entries).entries") from None
        pairs.extend(Pair(src, tuple(PHONEMES.encode(phonemes))) for phonemes in entry.pronunciations)
    return pairs


def length_buckets(
    pairs: Sequence[Pair], batch_size: int, *, seed: int, epoch: int, shuffle: bool = True,
) -> list[list[int]]:
    """Indices of `pairs` cut into batches of nearly equal lengths; each index occurs once.

    Pairs are ordered by source length; within one source length by target length, rising and falling in turn, so that
    neighbours stay alike where the source length changes; equal ones at random. The line is cut into batches, and these
    are put in random order. Which words meet in a batch thus changes with the epoch while almost nothing is padded.

    Args:
        pairs: examples.
        batch_size: pairs per batch; the last cut may be smaller.
        seed: together with `epoch` decides the order, on every machine alike.
        epoch: number of the pass over the data, from 0.
        shuffle: False gives batches by increasing length, equal lengths in the order of `pairs`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    if seed < 0 or epoch < 0:
        raise ValueError(f"seed, epoch: expected at least 0, got {seed}, {epoch}")
    n = len(pairs)
    src_len = np.fromiter((len(pair[0]) for pair in pairs), np.int64, n)
    tgt_len = np.fromiter((len(pair[1]) for pair in pairs), np.int64, n)
    # raw output of PCG64: unlike `Generator.permutation`, the same in every version of numpy
    bits = np.random.PCG64(np.random.SeedSequence([seed, epoch]))
    ties = bits.random_raw(n) if shuffle else np.arange(n)
    order = np.lexsort((ties, np.where(src_len % 2, -tgt_len, tgt_len), src_len))
    starts = np.arange(0, n, batch_size)
    if shuffle:
        starts = starts[np.argsort(bits.random_raw(len(starts)), kind="stable")]
    return [order[start:start + batch_size].tolist() for start in starts.tolist()]


def shard(batches: Sequence[Sequence[int]], rank: int, world_size: int) -> list[list[int]]:
    """The part of every batch that process `rank` of `world_size` computes.

    Every process takes part in every batch, so that all make the same number of steps and together they see the batches
    one process would see. A batch smaller than `world_size` leaves some of them with an empty list.
    """
    if not 0 <= rank < world_size:
        raise ValueError(f"rank: expected 0..{world_size - 1}, got {rank}")
    return [list(batch[rank::world_size]) for batch in batches]


def collate(pairs: Sequence[Pair]) -> Batch:
    """Pad pairs to a batch; an empty sequence gives a batch of no rows."""
    src, src_valid = _pad([pair[0] for pair in pairs])
    tgt_out, tgt_valid = _pad([pair[1] for pair in pairs])
    tgt_in = np.empty_like(tgt_out)
    tgt_in[:, 0] = BOS
    tgt_in[:, 1:] = np.where(tgt_valid[:, 1:], tgt_out[:, :-1], PAD)
    return Batch(*map(torch.from_numpy, (src, src_valid, tgt_in, tgt_out, tgt_valid)))


def _pad(rows: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows with EOS, padded at the right end: ids (B, T) and which of them are real (B, T)."""
    n = len(rows)
    lengths = np.fromiter(map(len, rows), np.int64, n)
    columns = np.arange(int(lengths.max(initial=0)) + 1)
    is_symbol = columns < lengths[:, None]
    ids = np.full(is_symbol.shape, PAD, np.int64)
    ids[is_symbol] = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
    ids[np.arange(n), lengths] = EOS
    return ids, columns <= lengths[:, None]


def padding_share(batches: Iterable[Batch]) -> float:
    """Share of positions, source and target together, that hold padding."""
    real = total = 0
    for batch in batches:
        for valid in (batch.src_valid, batch.tgt_valid):
            real += int(valid.sum())
            total += valid.numel()
    if not total:
        raise ValueError("batches: expected at least one with a position, got none")
    return 1 - real / total
