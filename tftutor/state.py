"""What a model remembers between decoding steps. The caller owns it; the model extends it in place.

`lengths` (B,) is the only record of position: how many real tokens each row has seen. Row b of a cache holds
its keys at slots 0 .. lengths[b] - 1, so the slot of a key is its position. Rows may differ in length, leave
(`drop`), join (`admit`) and change places (`reorder`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tftutor.checks import expect_valid


class KV(NamedTuple):
    """Keys and values of one layer; keys already rotated where RoPE is used."""

    keys: Tensor  # (B, G, S, Dh)
    values: Tensor  # (B, G, S, Dh)


class KVCache:
    """The keys and values of one attention layer so far, in preallocated memory. Inference only."""

    def __init__(self, batch_size: int, n_kv_heads: int, max_len: int, d_head: int, *, like: Tensor) -> None:
        shape = (batch_size, n_kv_heads, max_len, d_head)
        self._buffers = KV(like.new_zeros(shape), like.new_zeros(shape))
        self._used = 0  # slots that hold anything in any row

    def append(self, new: KV, slots: Slots) -> KV:
        """Store `new` (B, G, T, Dh) where `slots` says and return everything so far, (B, G, S, Dh).

        Views, not copies. Slots a row has not reached hold zeros or leftovers; `slots.key_pos` marks them.
        """
        if new.keys.requires_grad:
            raise RuntimeError("KVCache is for inference: call the model under torch.no_grad()")
        for buffer, fresh in zip(self._buffers, new, strict=True):
            fresh = fresh.to(buffer.dtype)
            if slots.start is not None:  # equal lengths, no padding: one slice
                buffer[:, :, slots.start : slots.stop] = fresh
            else:
                row, column = slots.valid.nonzero(as_tuple=True)  # (real,), (real,)
                buffer[row, :, slots.query_pos[row, column]] = fresh[row, :, column]
        self._used = max(self._used, slots.stop)
        return KV(*(buffer[:, :, : slots.stop] for buffer in self._buffers))

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes the old row rows[i]; `rows` may repeat or leave out rows."""
        if len(rows) != len(self._buffers.keys):
            shape = (len(rows), *self._buffers.keys.shape[1:])
            old, self._buffers = self._buffers, KV(*(buffer.new_zeros(shape) for buffer in self._buffers))
        else:
            old = self._buffers
        for buffer, source in zip(self._buffers, old, strict=True):  # only what is in use is worth copying
            buffer[:, :, : self._used] = source[rows, :, : self._used]

    def admit(self, other: KVCache) -> None:
        """Append the rows of `other` after the rows here."""
        self._buffers = KV(*(torch.cat(pair) for pair in zip(self._buffers, other._buffers, strict=True)))
        self._used = max(self._used, other._used)

    @property
    def nbytes(self) -> int:
        """Bytes allocated for keys and values together."""
        return sum(buffer.nbytes for buffer in self._buffers)


class Slots(NamedTuple):
    """Where the tokens of one step go, and which keys exist once they are there."""

    query_pos: Tensor  # (T,) if all rows agree, else (B, T) with -1 for padding
    key_pos: Tensor  # (S,) or (B, S), -1 = empty
    start: int | None  # first slot written when all rows agree, else None
    stop: int  # slots in use afterwards: S
    valid: Tensor | None  # (B, T), None when all rows agree


class DecoderState:
    """The memory of a decoder stack: one `KVCache` a layer, and the length of each row.

    An encoder-decoder also keeps, per layer, the keys and values of the encoder's output, projected once.
    """

    def __init__(
        self,
        batch_size: int,
        layers: list[KVCache],
        *,
        max_len: int,
        device: torch.device,
        memory: list[KV] | None = None,
        src_valid: Tensor | None = None,
    ) -> None:
        self.lengths = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.layers = layers
        self.max_len = max_len
        self.memory = memory or []
        self.src_valid = src_valid  # (B, S) or None: no padding in the source

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lengths)

    def place(self, tokens: Tensor, valid: Tensor | None) -> Slots:
        """The slots for `tokens` (B, T), of which `valid` (B, T) are real. Reads the state, changes nothing."""
        if len(tokens) != len(self):
            raise ValueError(f"tokens: expected {len(self)} rows as in the state, got {len(tokens)}")
        expect_valid("valid", valid, tokens)
        n_new = tokens.shape[-1]
        if valid is not None and bool(valid.all()):
            valid = None
        first = int(self.lengths[0]) if len(self) else 0
        equal = valid is None and bool((self.lengths == first).all())
        new = n_new if valid is None else valid.sum(dim=1)
        stop = int((self.lengths + new).max()) if len(self) else n_new
        if stop > self.max_len:
            raise ValueError(f"tokens: expected at most {self.max_len} positions in the state, got {stop}")
        slots = torch.arange(stop, device=tokens.device)
        if equal:
            return Slots(slots[first:], slots, first, stop, None)
        if valid is None:
            valid = torch.ones_like(tokens, dtype=torch.bool)
        ends = self.lengths + valid.sum(dim=1)
        query_pos = (self.lengths[:, None] + valid.long().cumsum(dim=1) - 1).masked_fill(~valid, -1)
        key_pos = torch.where(slots < ends[:, None], slots, -1)
        return Slots(query_pos, key_pos, None, stop, valid)

    def advance(self, tokens: Tensor, slots: Slots) -> None:
        """Count the tokens just stored."""
        self.lengths = self.lengths + (tokens.shape[1] if slots.valid is None else slots.valid.sum(dim=1))

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes the old row rows[i]; beam search calls this after choosing survivors."""
        self.lengths = self.lengths[rows]
        for layer in self.layers:
            layer.reorder(rows)
        self.memory = [KV(kv.keys[rows], kv.values[rows]) for kv in self.memory]
        self.src_valid = None if self.src_valid is None else self.src_valid[rows]

    def drop(self, rows: Tensor) -> None:
        """Let `rows` (indices) leave; the others keep their order."""
        keep = torch.ones(len(self), dtype=torch.bool, device=self.lengths.device)
        keep[rows] = False
        self.reorder(keep.nonzero()[:, 0])

    def admit(self, other: DecoderState) -> None:
        """Let the rows of `other`, a state of the same model, join after the rows here."""
        if len(other.layers) != len(self.layers) or other.max_len != self.max_len:
            raise ValueError(
                f"other: expected a state of the same model ({len(self.layers)} layers, {self.max_len} positions), "
                f"got {len(other.layers)} layers, {other.max_len} positions"
            )
        if self.memory:
            self._admit_memory(other)
        self.lengths = torch.cat([self.lengths, other.lengths])
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            mine.admit(theirs)

    def _admit_memory(self, other: DecoderState) -> None:
        """Join encoder outputs of unequal lengths: pad the shorter and mark the padding."""
        sizes = [s.memory[0].keys.shape[2] for s in (self, other)]
        longest = max(sizes)
        if sizes[0] != sizes[1] or self.src_valid is not None or other.src_valid is not None:
            rows = [_source_valid(s, size, longest) for s, size in zip((self, other), sizes, strict=True)]
            self.src_valid = torch.cat(rows)
        self.memory = [
            KV(*(torch.cat([_pad_keys(a, longest), _pad_keys(b, longest)]) for a, b in zip(mine, theirs, strict=True)))
            for mine, theirs in zip(self.memory, other.memory, strict=True)
        ]

    @property
    def nbytes(self) -> int:
        """Bytes allocated by the caches of all layers."""
        return sum(layer.nbytes for layer in self.layers)


def _pad_keys(x: Tensor, length: int) -> Tensor:
    """(B, G, S, Dh) -> (B, G, length, Dh) with zeros at the end."""
    return torch.nn.functional.pad(x, (0, 0, 0, length - x.shape[2]))


def _source_valid(state: DecoderState, size: int, length: int) -> Tensor:
    """The (B, length) marks of real source tokens of `state`, whose sources have `size` slots."""
    if state.src_valid is not None:
        return torch.nn.functional.pad(state.src_valid, (0, length - size))
    real = torch.arange(length, device=state.lengths.device) < size
    return real.expand(len(state), length)
