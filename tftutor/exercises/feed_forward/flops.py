"""Exercise: the operations of a forward pass."""

from __future__ import annotations

from typing import Any

import torch

from tftutor.budget import forward_flops as count
from tftutor.config import BlockConfig, GPTConfig
from tftutor.exercises.exercise import Case, Exercise, Wrong, equals, named_case
from tftutor.exercises.values import read_number


def forward_flops(n_tokens: int, d_model: int, n_heads: int, d_ff: int, n_layers: int, vocab_size: int) -> int:
    """Floating-point operations of the matrix products in a GPT's forward pass.

    One sequence; a multiplication and an addition are two operations. Heads
    are d_model / n_heads wide. The mask saves nothing: hidden scores are
    computed too. Logits at every position. Embedding is a look-up.
    """
    projections = 4 * 2 * n_tokens * d_model * d_model
    attention = 2 * 2 * n_tokens * n_tokens * d_model
    feed_forward = 2 * 2 * n_tokens * d_model * d_ff
    blocks = n_layers * (projections + attention + feed_forward)
    return blocks + 2 * n_tokens * d_model * vocab_size


def _truth(n: int, d: int, h: int, f: int, n_layers: int, v: int) -> int:
    """The package's count, which its tests hold to torch's own counter."""
    block = BlockConfig(d_model=d, n_heads=h, d_ff=f)
    return sum(count(GPTConfig(block=block, vocab_size=v, n_layers=n_layers), n).values())


def _cases(_generator: torch.Generator) -> list[Case]:
    names = ("n_tokens", "d_model", "n_heads", "d_ff", "n_layers", "vocab_size")
    rows = ((2, 4, 1, 3, 1, 5), (5, 6, 2, 10, 1, 7), (3, 8, 4, 20, 2, 11), (30, 12, 3, 50, 4, 13),
            (1024, 768, 12, 3072, 12, 50_257))  # fmt: skip
    return [named_case(**dict(zip(names, row, strict=True))) for row in rows]


def _formula(
    n: int, d: int, h: int, f: int, n_layers: int, v: int, *, factor: int = 2, projections: float = 4,
    scores: float = 1, values: float = 1, ffn: int = 2, logits: float = 1, table: int = 0,
) -> float:  # fmt: skip
    """The count with its parts to be got wrong."""
    block = projections * n * d * d + (scores + values) * n * n * d + ffn * n * d * f
    return round(factor * (n_layers * block + logits * n * d * v + table * n * d * v))


def _wrong(name: str, hint: str, **changes: Any) -> Wrong:
    return Wrong(name=name, answer=lambda *args: _formula(*args, **changes), hint=hint)


def _per_head(name: str, hint: str, power: int) -> Wrong:
    """The quadratic products, multiplied (1) or divided (-1) by the number of heads."""

    def answer(n: int, d: int, h: int, f: int, n_layers: int, v: int) -> float:
        return _formula(n, d, h, f, n_layers, v, scores=h**power, values=h**power)

    return Wrong(name=name, answer=answer, hint=hint)


COUNT_FLOPS = Exercise(
    id="feed-forward/count-flops",
    title="Count the operations",
    answer="forward_flops",
    solution=forward_flops,
    cases=_cases,
    read=read_number,
    properties=(
        equals(
            "the count is that of the products which are computed",
            _truth,
            hint="a product of an (A, B) with a (B, C) matrix takes 2 A B C operations: list the products of a block "
            "with their shapes",
        ),
    ),
    wrong=(
        _wrong("one per product", "every multiplication is followed by an addition: that makes two", factor=1),
        _wrong("no weighted values", "one product with n_tokens squared is there; attention makes two of that size: "
               "scores, and what else?", values=0),
        _wrong("no quadratic part", "the matrices with weights are all there; two products of attention have no "
               "weights in them at all", scores=0, values=0),
        _wrong("no output projection", "queries, keys, values: one projection of attention is missing", projections=3),
        _wrong("two projections", "queries, keys, values, and W_O behind the heads: four projections, not two",
               projections=2),
        _wrong("no projections", "queries, keys and values have to be computed first, and W_O stands behind",
               projections=0),
        _wrong("no logits", "the blocks are complete; the way to the vocabulary is a product as well", logits=0),
        _wrong("a product for the embedding", "embedding looks rows up; a product with a one-hot matrix would cost "
               "what you count, and nobody computes it", table=1),
        _wrong("one product in the feed-forward layer", "up to F features, and down again", ffn=1),
        _wrong("three products in the feed-forward layer", "this is what a gated layer takes; this one is plain",
               ffn=3),
        _per_head("heads of full width", "h heads of width D each? Their widths add up to D", 1),
        _per_head("one head only", "this counts one head's scores; all of them are computed", -1),
        Wrong(
            name="logits at the last position",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v, logits=1 / n),
            hint="while generating, the last position's logits are enough; here every position has its own",
        ),
        Wrong(
            name="causal half",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v, scores=(n + 1) / 2 / n,
                                                            values=(n + 1) / 2 / n),
            hint="you count the scores that the mask leaves; here the hidden ones are computed as well",
        ),
        _wrong("no feed-forward layer", "attention and the output are complete; the larger half of a block is missing",
               ffn=0),
        Wrong(
            name="softmax too",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v) + n_layers * h * n * n,
            hint="you count the softmax as well; only matrix products are asked for",
        ),
        Wrong(
            name="activation too",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v) + n_layers * n * f,
            hint="you count the activation as well; only matrix products are asked for",
        ),
        Wrong(
            name="one addition fewer",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v) - n * v - n_layers * (
                n * (6 * d + f) + h * n * n),
            hint="exactly right, and nobody counts like that: a sum of A products is taken for A additions, not A - 1",
        ),
        Wrong(
            name="scores without their width",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v, scores=1 / d, values=1 / d),
            hint="n_tokens squared is the number of scores; each of them is a sum over the features of its head",
        ),
        Wrong(
            name="quadratic in the width",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v, scores=d / n, values=d / n),
            hint="scores and mixing grow with the square of the length, not of the width: (T, Dh) times (Dh, T)",
        ),
        Wrong(
            name="logits without the width",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v, logits=1 / d),
            hint="there are n_tokens times vocab_size logits; each of them is a sum over d_model features",
        ),
        Wrong(
            name="projections in every head",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v, projections=4 * h),
            hint="h heads project to d_model / n_heads features each: together that is one D x D matrix, not h of them",
        ),
        Wrong(
            name="projections of one head",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v, projections=4 / h),
            hint="this projects for one head only; all heads together are D wide",
        ),
        Wrong(
            name="one layer, no logits",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, 1, v, logits=0),
            hint="one block is right; there are n_layers of them, and the way to the vocabulary comes after the last",
        ),
        Wrong(
            name="F = 4 D assumed",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, 4 * d, n_layers, v),
            hint="four times the width is a habit, not a law: the width of the feed-forward layer is an argument",
        ),
        Wrong(
            name="biases too",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v) + n_layers * n * (5 * d + f),
            hint="you count the additions of the biases as well; only matrix products are asked for",
        ),
        Wrong(
            name="two for each weight",
            answer=lambda n, d, h, f, n_layers, v: 2 * n * n_layers * (4 * d * d + 2 * d * f),
            hint="two operations for each weight of the blocks and each token: what about products without weights, "
            "and the vocabulary?",
        ),
        Wrong(
            name="six N D",
            answer=lambda n, d, h, f, n_layers, v: 6 * n * n_layers * (4 * d * d + 2 * d * f),
            hint="six for each weight is the price of training, and a rule of thumb; count the forward pass alone",
        ),
        Wrong(
            name="one layer",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, 1, v),
            hint="the argument n_layers is not used: this is one block and the output",
        ),
        Wrong(
            name="logits in every layer",
            answer=lambda n, d, h, f, n_layers, v: n_layers * _formula(n, d, h, f, 1, v),
            hint="the projection to the vocabulary stands once, behind the last block",
        ),
        Wrong(
            name="one token",
            answer=lambda n, d, h, f, n_layers, v: _formula(n, d, h, f, n_layers, v) / n,
            hint="this is the cost of one token; the sequence has n_tokens",
        ),
        Wrong(
            name="forward and backward",
            answer=lambda n, d, h, f, n_layers, v: 3 * _formula(n, d, h, f, n_layers, v),
            hint="three times too many: that is a step of training, with the backward pass",
        ),
    ),
    notice="n_heads does not occur: the quadratic part costs the same for 1 head and for 12.",
)  # fmt: skip
