"""Faults of masks and positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tftutor.faults.catalogue import Function, fault
from tftutor.positions import rotate


@fault("causal-off-by-one", "masks.causal_mask", "training loss far too good, generation useless",
       "at position t the next token is the answer; may the query at t look at it?")  # fmt: skip
def _(causal_mask: Function) -> Function:
    return lambda query_pos, key_pos: causal_mask(query_pos + 1, key_pos)


@fault("causal-without-self", "masks.causal_mask", "the first query may attend to nothing",
       "a token may see itself: look at the diagonal")  # fmt: skip
def _(causal_mask: Function) -> Function:
    return lambda query_pos, key_pos: causal_mask(query_pos - 1, key_pos)


@fault("causal-forgotten", "masks.causal_mask", "training and validation loss near zero, generation useless",
       "which keys hold the answer while the whole target is there?")  # fmt: skip
def _(causal_mask: Function) -> Function:
    return lambda query_pos, key_pos: causal_mask(torch.full_like(query_pos, torch.iinfo(torch.int64).max), key_pos)


@fault("causal-top-left", "masks.causal_mask", "right in training; with a cache, a new token sees the oldest key only",
       "a new query stands after the cached keys, not at position 0")  # fmt: skip
def _(causal_mask: Function) -> Function:
    return lambda query_pos, key_pos: causal_mask(*(torch.arange(p.shape[-1]) for p in (query_pos, key_pos)))


@fault("window-one-too-wide", "masks.window_mask", "the receptive field grows by w a layer instead of w - 1",
       "the query's own position counts as one of the w keys")  # fmt: skip
def _(window_mask: Function) -> Function:
    return lambda query_pos, key_pos, window: window_mask(query_pos, key_pos, window + 1)


@fault("padding-not-masked", "masks.padding_mask", "the result depends on how much padding the batch needed",
       "inference pads too: which keys are not real?")  # fmt: skip
def _(padding_mask: Function) -> Function:
    return lambda valid: padding_mask(torch.ones_like(valid))


@fault("positions-count-padding", "masks.count_positions", "prompts padded on the left continue differently",
       "a position is the number of real tokens before, not the column in the batch")  # fmt: skip
def _(count_positions: Function) -> Function:
    return lambda valid: torch.arange(valid.shape[-1]).expand_as(valid).masked_fill(~valid, -1)


@fault("positions-restart", "positions.sinusoids", "the first cached step is right, later ones are not",
       "the state knows how many tokens came before")  # fmt: skip
def _(sinusoids: Function) -> Function:
    return lambda positions, d_model: sinusoids(torch.arange(positions.shape[-1]).expand_as(positions), d_model)


@fault("rope-on-values", "attention.MultiHeadAttention.project_kv", "moving a text changes what it says",
       "rotate queries and keys, never values")  # fmt: skip
def _(project_kv: Function) -> Function:
    def broken(self: nn.Module, context: Tensor, rotation: Any = None) -> Any:
        keys = project_kv(self, context, rotation)
        return keys if rotation is None else type(keys)(keys.keys, rotate(keys.values, rotation))

    return broken


@fault("rope-layouts-differ", "attention.MultiHeadAttention.project_kv", "scores depend on where the text stands",
       "rotate queries and keys in the same pairs")  # fmt: skip
def _(project_kv: Function) -> Function:
    other = {"halves": "pairs", "pairs": "halves"}
    return lambda self, context, rotation=None: project_kv(
        self, context, rotation and rotation._replace(layout=other[rotation.layout])
    )


@fault("rope-in-float32", "positions.rope_rotation", "scores drift at positions in the thousands",
       "an angle of 5000 radians leaves a float32 three digits behind the point")  # fmt: skip
def _(rope_rotation: Function) -> Function:
    def broken(positions: Tensor, d_head: int, *, base: float = 10_000.0, layout: str = "halves") -> Any:
        rotation = rope_rotation(positions, d_head, base=base, layout=layout)
        pairs = torch.arange(0, d_head, 2, dtype=torch.float32)
        angle = positions[..., None].float() * base ** (-pairs / d_head)
        angle = angle[:, None] if positions.ndim == 2 else angle
        return rotation._replace(cos=angle.cos(), sin=angle.sin())

    return broken
