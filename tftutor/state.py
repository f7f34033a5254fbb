"""What a model remembers between decoding steps. The caller owns it; the model extends it in place.

`lengths` (B,) is the only record of position: how many real tokens each row has seen. Row b of a cache holds
its keys at slots 0 .. lengths[b] - 1, so the slot of a key is its position. Rows may differ in length, leave
(`drop`), join (`admit`) and change places (`reorder`). A `SlidingState` keeps the first and the latest tokens only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tftutor.checks import expect_valid


class KV(NamedTuple):
    """Keys and values of one layer; keys already rotated where RoPE is used, except in a sliding state."""

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
            how = "call the model under torch.no_grad()"
            raise RuntimeError(f"KVCache is for inference: {how}")
        for buffer, fresh in zip(self._buffers, new, strict=True):
            fresh = fresh.to(buffer.dtype)
            if slots.start is not None:  # equal lengths, no padding: one slice
                buffer[:, :, slots.start : slots.start + fresh.shape[2]] = fresh
            else:
                row, column = slots.valid.nonzero(as_tuple=True)  # (real,), (real,)
                where = slots.query_pos if slots.written is None else slots.written
                buffer[row, :, where[row, column]] = fresh[row, :, column]
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


class Carry:
    """What a recurrent layer hands from one token to the next: tensors whose size does not depend on the length."""

    def __init__(self, *states: Tensor, row_axis: int = 0) -> None:
        self.states = states
        self.row_axis = row_axis

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes the old row rows[i]."""
        self.states = tuple(x.index_select(self.row_axis, rows) for x in self.states)

    def admit(self, other: Carry) -> None:
        """Append the rows of `other` after the rows here."""
        self.states = tuple(torch.cat(pair, self.row_axis) for pair in zip(self.states, other.states, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of the states."""
        return sum(x.nbytes for x in self.states)


def memory_dtype(x: Tensor) -> torch.dtype:
    """What a running sum of numbers like `x` is kept in: float32 at least, or late tokens leave no trace in it."""
    return torch.promote_types(x.dtype, torch.float32)


def real_first(valid: Tensor) -> Tensor:
    """The order of columns, (B, T), that puts each row's real tokens first, in their order, and padding behind."""
    return torch.argsort(~valid, dim=1, stable=True)


class Slots(NamedTuple):
    """Where the tokens of one step go, and which keys exist once they are there."""

    query_pos: Tensor  # (T,) if all rows agree, else (B, T) with -1 for padding
    key_pos: Tensor  # (S,) or (B, S), -1 = empty
    start: int | None  # first slot written when all rows agree, else None
    stop: int  # slots in use afterwards: S
    valid: Tensor | None  # (B, T), None when all rows agree
    written: Tensor | None = None  # (B, T), slots written when rows differ; None: slot = position
    renumbered: bool = False  # positions of cached keys change from step to step: rotate them when they are read


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

    def chunks(self, tokens: Tensor, valid: Tensor | None) -> list[int]:
        """How many columns of `tokens` (B, T) may be read at once, then how many more, and so on: here all."""
        return [tokens.shape[1]]

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


class SlidingState(DecoderState):
    """Constant memory for texts of any length: the first `sinks` tokens and the latest `window`, nothing between.

    What is kept counts as one text without the gap: positions are those *inside the cache*, 0 .. sinks + window - 1, so
    that none is ever larger than a model has seen in training. A kept key's position falls by one with each token that
    is evicted; therefore keys are cached before rotation and rotated when they are read. The latest tokens live in a
    ring: token n is written at slot sinks + (n - sinks) % window, and `lengths` still counts all tokens ever read.

    Source: Xiao et al. 2023, "StreamingLLM", section 3.2.
    """

    def __init__(
        self, batch_size: int, layers: list[KVCache], *, window: int, sinks: int, device: torch.device
    ) -> None:
        super().__init__(batch_size, layers, max_len=sinks + window, device=device)
        self.window = window
        self.sinks = sinks

    def chunks(self, tokens: Tensor, valid: Tensor | None) -> list[int]:
        """All columns that fit without evicting anything, then one at a time: each token evicts its own."""
        n_new = tokens.shape[1]
        real = torch.ones_like(tokens, dtype=torch.bool) if valid is None else valid
        fits = ((self.lengths[:, None] + real.long().cumsum(dim=1)) <= self.max_len).all(dim=0)
        n_fit = max(int(fits.long().cumprod(dim=0).sum()), 1)
        return [n_new] if n_fit >= n_new else [n_fit] + [1] * (n_new - n_fit)

    def place(self, tokens: Tensor, valid: Tensor | None) -> Slots:
        """The slots for `tokens` (B, T); T > 1 only while nothing has to be evicted (see `chunks`)."""
        if len(tokens) != len(self):
            raise ValueError(f"tokens: expected {len(self)} rows as in the state, got {len(tokens)}")
        expect_valid("valid", valid, tokens)
        valid = torch.ones_like(tokens, dtype=torch.bool) if valid is None else valid
        ends = self.lengths + valid.sum(dim=1)  # (B,)
        if tokens.shape[1] > 1 and bool((ends > self.max_len).any()):
            raise ValueError(f"tokens: expected one column once more than {self.max_len} tokens are read, got "
                             f"{tokens.shape[1]}; split them by state.chunks(tokens, valid)")  # fmt: skip
        stop = min(int(ends.max()), self.max_len) if len(self) else min(tokens.shape[1], self.max_len)
        order = (self.lengths[:, None] + valid.long().cumsum(dim=1) - 1).masked_fill(~valid, -1)  # (B, T)
        ring = self.sinks + (order - self.sinks) % self.window
        written = torch.where(order < self.sinks, order, ring)
        evicted = (ends - self.max_len).clamp(min=0)[:, None]
        query_pos = torch.where(order < 0, -1, order - evicted)
        slots = torch.arange(stop, device=tokens.device)[None]
        latest = ends[:, None] - 1 - (ends[:, None] - 1 - slots) % self.window  # the newest token that a ring slot had
        key_pos = torch.where((slots < self.sinks) & (slots < ends[:, None]), slots, -1)
        key_pos = torch.where((slots >= self.sinks) & (latest >= self.sinks), latest - evicted, key_pos)
        if tokens.numel() and bool(valid.all()) and bool((self.lengths == self.lengths[0]).all()):
            return Slots(query_pos[0], key_pos[0], int(written[0, 0]), stop, None, renumbered=True)
        return Slots(query_pos, key_pos, None, stop, valid, written=written, renumbered=True)

    def admit(self, other: DecoderState) -> None:
        """Let the rows of `other`, a state of the same model and sizes, join after the rows here."""
        if (getattr(other, "window", None), getattr(other, "sinks", None)) != (self.window, self.sinks):
            raise ValueError(f"other: expected a sliding state with window {self.window} and {self.sinks} sinks, got "
                             f"{type(other).__name__}")  # fmt: skip
        super().admit(other)


def _pad_keys(x: Tensor, length: int) -> Tensor:
    """(B, G, S, Dh) -> (B, G, length, Dh) with zeros at the end."""
    return torch.nn.functional.pad(x, (0, 0, 0, length - x.shape[2]))


def _source_valid(state: DecoderState, size: int, length: int) -> Tensor:
    """The (B, length) marks of real source tokens of `state`, whose sources have `size` slots."""
    if state.src_valid is not None:
        return torch.nn.functional.pad(state.src_valid, (0, length - size))
    real = torch.arange(length, device=state.lengths.device) < size
    return real.expand(len(state), length)
