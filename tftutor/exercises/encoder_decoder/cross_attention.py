"""Exercise: one head of cross-attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tftutor.exercises.encoder_decoder.parts import lengths_to_valid
from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Mismatch,
    Property,
    Trial,
    Wrong,
    compare,
    equals,
    has_shape,
    named_case,
)
from tftutor.masks import causal_mask


def cross_attention(x: Tensor, memory: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, src_mask: Tensor) -> Tensor:
    """One head of cross-attention: the target gathers what it needs from the source.

    x: decoder states (B, T, D).
    memory: encoder output (B, S, D).
    w_q, w_k, w_v: projections (D, Dh), used as x @ w.
    src_mask: bool (B, 1, S), True = may attend.
    Returns (B, T, Dh).
    """
    q, k, v = x @ w_q, memory @ w_k, memory @ w_v
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~src_mask, float("-inf")).softmax(dim=-1) @ v


def _cross_cases(generator: torch.Generator) -> list[Case]:
    def draw(lengths: Sequence[int], n_tgt: int, d_model: int, d_head: int) -> Case:
        valid = lengths_to_valid(lengths)
        return named_case(
            x=torch.randn(len(lengths), n_tgt, d_model, generator=generator),
            memory=torch.randn(*valid.shape, d_model, generator=generator),
            **{name: torch.randn(d_model, d_head, generator=generator) / 2 for name in ("w_q", "w_k", "w_v")},
            src_mask=valid[:, None, :],
        )

    cases = [draw([2], 1, 4, 3), draw([4, 3], 3, 5, 2), draw([5, 2, 4], 6, 7, 4), draw([3, 7, 2, 6], 5, 8, 9)]
    return [*cases, draw([4, 2, 3], 4, 6, 5)]  # S = T: projections can be mixed up without an error


def _cross_variant(
    *, q_from: str = "x", k_from: str = "memory", v_from: str = "memory", masked: str = "source", scaled: bool = True,
    axis: int = -1, order: str = "qkv", width: str = "head",
) -> Callable[..., Tensor]:  # fmt: skip
    """Cross-attention with one slip."""

    def variant(x: Tensor, memory: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, src_mask: Tensor) -> Tensor:
        where = {"x": x, "memory": memory}
        w = {"q": w_q, "k": w_k, "v": w_v}
        q, k, v = (where[f] @ w[name] for f, name in zip((q_from, k_from, v_from), order, strict=True))
        scores = q @ k.transpose(-2, -1) / (math.sqrt((x if width == "model" else q).shape[-1]) if scaled else 1)
        if masked == "source":
            scores = scores.masked_fill(~src_mask, float("-inf"))
        elif masked == "causal":
            pos = torch.arange(scores.shape[-2]), torch.arange(scores.shape[-1])
            scores = scores.masked_fill(~causal_mask(*pos)[0], float("-inf"))
        elif masked == "zero":
            scores = scores.masked_fill(~src_mask, 0.0)
        elif masked == "added":
            scores = scores + src_mask
        elif masked == "inverted":
            scores = scores.masked_fill(src_mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=axis)
        return weights.masked_fill(~src_mask, 0.0) @ v if masked == "afterwards" else weights @ v

    return variant


def _weights(x: Tensor, memory: Tensor, w_q: Tensor, w_k: Tensor, src_mask: Tensor) -> Tensor:
    """The weights (B, T, S), not yet used."""
    scores = (x @ w_q) @ (memory @ w_k).mT / math.sqrt(w_q.shape[1])
    return scores.masked_fill(~src_mask, float("-inf")).softmax(dim=-1)


def _padding_hidden(trial: Trial) -> Mismatch | None:
    x, memory, *weights, mask = trial.args
    other = torch.where(mask[:, 0, :, None], memory, memory + 3.0)
    return compare(trial.output, trial.call(x, other, *weights, mask))


def _source_order_ignored(trial: Trial) -> Mismatch | None:
    x, memory, *weights, mask = trial.args
    return compare(trial.output, trial.call(x, memory.flip(1), *weights, mask.flip(-1)))


CROSS_ATTENTION = Exercise(
    id="encoder-decoder/cross-attention",
    title="Cross-attention",
    answer="cross_attention",
    solution=cross_attention,
    cases=_cross_cases,
    properties=(
        has_shape("there is one row per target position, Dh wide", lambda x, m, w_q, *_: (*x.shape[:2], w_q.shape[1])),
        Property(
            sentence="memory at padded positions does not matter",
            test=_padding_hidden,
            hint="scores of padded source positions must not take part in the softmax",
        ),
        Property(
            sentence="the order in which the memory's vectors are listed does not matter",
            test=_source_order_ignored,
            hint="positions are inside the vectors already: no other mask than the source's is needed here",
        ),
        equals(
            "the result is softmax(q k^T / sqrt(Dh)) v with q from x, k and v from memory",
            cross_attention,
            hint="compute one score by hand, with one row of x and one row of memory",
        ),
    ),
    wrong=(
        Wrong(
            name="everything the other way round",
            answer=_cross_variant(q_from="memory", k_from="x", v_from="x", masked="none"),
            hint="now the source asks and the target answers: who is writing, and who is looked up?",
        ),
        Wrong(
            name="queries from memory",
            answer=_cross_variant(q_from="memory"),
            hint="the source looks at itself, and the target is never asked: whose question is it?",
        ),
        Wrong(
            name="keys from x",
            answer=_cross_variant(k_from="x"),
            hint="a weight found by matching one sequence is applied to another: keys and values must describe the "
            "same positions",
        ),
        Wrong(
            name="values from x",
            answer=_cross_variant(v_from="x"),
            hint="keys and values must describe the same positions: what should be carried over from the source?",
        ),
        Wrong(
            name="self-attention",
            answer=_cross_variant(k_from="x", v_from="x", masked="none"),
            hint="the memory is never used: this is self-attention",
        ),
        Wrong(
            name="causal mask",
            answer=_cross_variant(masked="causal"),
            hint="that is the target's mask: the whole source is known from the start, and only padding is hidden",
        ),
        Wrong(
            name="no mask",
            answer=_cross_variant(masked="none"),
            hint="padding takes part: what is src_mask for?",
        ),
        Wrong(
            name="mask inverted",
            answer=_cross_variant(masked="inverted"),
            hint="only padding is left: True means that a position may be looked at",
        ),
        Wrong(
            name="scores of padding set to 0",
            answer=_cross_variant(masked="zero"),
            hint="a score of 0 is not a share of 0: the softmax takes its exponential, which is 1. Which score has the "
            "exponential 0?",
        ),
        Wrong(
            name="mask added to the scores",
            answer=_cross_variant(masked="added"),
            hint="as a number True is 1, which lifts scores a little: padding has to lose its share altogether",
        ),
        Wrong(
            name="mask after the softmax",
            answer=_cross_variant(masked="afterwards"),
            hint="padding got its share before you took it away, so the weights no longer sum to 1: mask the scores",
        ),
        Wrong(
            name="no scale",
            answer=_cross_variant(scaled=False),
            hint="the scores grow with the width of the head: something is missing before the softmax",
        ),
        Wrong(
            name="scale by the width of the model",
            answer=_cross_variant(width="model"),
            hint="a score sums over the features of one head: whose width should the root be taken of, D or Dh?",
        ),
        Wrong(
            name="weights returned",
            answer=lambda x, memory, w_q, w_k, w_v, src_mask: _weights(x, memory, w_q, w_k, src_mask),
            hint="these are the weights, one per target and source position; what is each of them a weight of?",
        ),
        Wrong(
            name="queries and keys swapped",
            answer=_cross_variant(order="kqv"),
            hint="w_q and w_k have changed places: which of them belongs to the side that asks?",
        ),
        Wrong(
            name="softmax over the target",
            answer=_cross_variant(axis=-2),
            hint="each target position distributes its own attention: along which axis do the weights sum to 1?",
        ),
        Wrong(
            name="keys and values swapped",
            answer=_cross_variant(order="qvk"),
            hint="w_k and w_v have changed places",
        ),
    ),
    notice="T and S differ, and so does the mask from the one in self-attention: its last axis counts source "
    "positions.",
)
