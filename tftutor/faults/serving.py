"""Faults of serving: rows that come and go, memory in blocks, caches that slide."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tftutor.faults.catalogue import Function, fault


@fault("rows-mixed-up-after-drop", "serving.scheduler.Scheduler._retire",
       "after the first request leaves, others continue texts that are not theirs",
       "the list of requests and the rows of the state must be cut in the same places")  # fmt: skip
def _(retire: Function) -> Function:
    def broken(self: Any) -> Any:
        drop = self._state.drop
        self._state.drop = lambda rows: drop(torch.arange(len(self._state))[-len(rows) :])  # the last ones instead
        try:
            return retire(self)
        finally:
            del self._state.drop

    return broken


@fault("drop-keeps-lengths", "state.DecoderState.drop", "who stays gets the positions and the mask of who left",
       "lengths belong to rows: they leave together with keys and values")  # fmt: skip
def _(drop: Function) -> Function:
    def broken(self: Any, rows: Tensor) -> None:
        stale = self.lengths
        drop(self, rows)
        self.lengths = stale[: len(self)]

    return broken


@fault("admit-restarts-positions", "state.DecoderState.admit", "requests already running restart when another joins",
       "a batch of new composition is not a new batch: every row keeps its own length")  # fmt: skip
def _(admit: Function) -> Function:
    def broken(self: Any, other: Any) -> None:
        admit(self, other)
        self.lengths = torch.zeros_like(self.lengths)

    return broken


@fault("logits-of-last-column", "serving.scheduler.Scheduler._read",
       "a row that reads fewer tokens than its neighbours writes what follows padding",
       "the last column of a ragged step is not the last token of every row")  # fmt: skip
def _(read: Function) -> Function:
    def broken(self: Any) -> Tensor:
        step = self.model.step

        def last_column(tokens: Tensor, state: Any, *, valid: Tensor) -> Tensor:
            return step(tokens, state, valid=valid)[:, -1:].expand(-1, tokens.shape[1], -1)

        self.model.step = last_column
        try:
            return read(self)
        finally:
            del self.model.step

    return broken


@fault("random-numbers-shared", "serving.scheduler.Scheduler._write", "a sampled text changes with its neighbours",
       "each request draws from a generator of its own")  # fmt: skip
def _(write: Function) -> Function:
    def broken(self: Any, row: Any, logits: Tensor) -> None:
        row.draw = self._state.__dict__.setdefault("draw", torch.Generator().manual_seed(0))
        write(self, row, logits)

    return broken


@fault("block-freed-too-early", "serving.memory.BlockPool.extend", "two sequences write into the same block",
       "a block is free only when its owner has left")  # fmt: skip
def _(extend: Function) -> Function:
    def broken(self: Any, table: list[int], length: int) -> None:
        extend(self, table, length)
        self._free[:0] = table[:1]

    return broken


@fault("blocks-in-wrong-order", "serving.memory.PagedKV._locate", "long sequences read their text in another order",
       "a table lists the blocks of a sequence in the order of its text, not in that of memory")  # fmt: skip
def _(locate: Function) -> Function:
    return lambda self, table, position: locate(self, sorted(table), position)


@fault("sinks-evicted", "state.SlidingState.place", "fine until the cache is full, then the first tokens are gone",
       "the ring begins behind the sinks")  # fmt: skip
def _(place: Function) -> Function:
    def broken(self: Any, tokens: Tensor, valid: Tensor | None) -> Any:
        window, sinks = self.window, self.sinks
        self.window, self.sinks = window + sinks, 0
        try:
            return place(self, tokens, valid)
        finally:
            self.window, self.sinks = window, sinks

    return broken


@fault("not-renumbered", "state.SlidingState.place", "positions grow beyond all that the model was trained on",
       "positions count what is in the cache, not what was ever read")  # fmt: skip
def _(place: Function) -> Function:
    def broken(self: Any, tokens: Tensor, valid: Tensor | None) -> Any:
        slots = place(self, tokens, valid)
        gone = (self.lengths.max() + tokens.shape[1] - self.max_len).clamp(min=0)
        key_pos = torch.where(slots.key_pos >= self.sinks, slots.key_pos + gone, slots.key_pos)
        return slots._replace(query_pos=slots.query_pos + gone, key_pos=key_pos)

    return broken


@fault("rotated-when-cached", "models.gpt.GPT.step", "right until tokens are evicted; then sinks are too far",
       "a kept key's position changes: its rotation cannot be stored with it")  # fmt: skip
def _(step: Function) -> Function:
    def broken(self: Any, tokens: Tensor, state: Any, **marks: Tensor | None) -> Tensor:
        place = getattr(state, "place", None)
        if place is not None:
            state.place = lambda *inputs: place(*inputs)._replace(renumbered=False)
        try:
            return step(self, tokens, state, **marks)
        finally:
            if place is not None:
                state.__dict__.pop("place", None)

    return broken
