"""Exercise: attention in two lines."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Mismatch,
    Property,
    Trial,
    Wrong,
    compare,
    distinct_sizes,
    equals,
    has_shape,
    named_case,
)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v: each query's mixture of the values.

    q: queries (T, D).  k: keys (S, D).  v: values (S, Dv).
    Returns (T, Dv).
    """
    scores = q @ k.T / math.sqrt(q.shape[-1])
    return scores.softmax(dim=-1) @ v


def _attention_cases(generator: torch.Generator) -> list[Case]:
    def draw(t: int, s: int, d: int, dv: int) -> Case:
        q, k, v = (torch.randn(shape, generator=generator) for shape in ((t, d), (s, d), (s, dv)))
        return named_case(q=q, k=k, v=v)

    cases = [draw(1, 2, 3, 4), draw(2, 3, 4, 1), draw(3, 5, 2, 4), draw(7, 5, 16, 6)]
    cases += [draw(*distinct_sizes(generator, 4, 2, 9)) for _ in range(3)]
    return [*cases, draw(4, 4, 4, 4)]  # square: products in the wrong order give numbers here


def _shares_sum_to_one(trial: Trial) -> Mismatch | None:
    q, k, v = trial.args
    total = trial.call(q, k, torch.ones_like(v))
    return compare(torch.ones(q.shape[0], v.shape[1]), total)


def _ignores_order(trial: Trial) -> Mismatch | None:
    q, k, v = trial.args
    return compare(trial.output, trial.call(q, k.flip(0), v.flip(0)))


def _attention_variant(
    *, scores: Callable[[Tensor, Tensor], Tensor] | None = None, scale: Callable[..., float] | None = None,
    weigh: Callable[[Tensor], Tensor] = lambda s: s.softmax(dim=-1),
    mix: Callable[[Tensor, Tensor], Tensor] = lambda w, v: w @ v,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:  # fmt: skip
    """Attention with one of its steps replaced."""

    def variant(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        raw = q @ k.T if scores is None else scores(q, k)
        factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale(q, k)
        return mix(weigh(raw * factor), v)

    return variant


ATTENTION = Exercise(
    id="qkv/attention",
    title="Attention in two lines",
    answer="attention",
    solution=attention,
    cases=_attention_cases,
    properties=(
        has_shape("there is one row per query, as wide as the values", lambda q, k, v: (q.shape[0], v.shape[1])),
        Property(
            sentence="the shares that a query hands out sum to 1 (if all values are 1, so is the result)",
            test=_shares_sum_to_one,
            hint="each query distributes one unit of attention over the keys",
        ),
        Property(
            sentence="the order in which (key, value) pairs are listed does not matter",
            test=_ignores_order,
            hint="value j has to be weighted by the score of key j",
        ),
        equals(
            "the result equals torch's scaled_dot_product_attention",
            torch.nn.functional.scaled_dot_product_attention,
            hint="compute one score by hand: multiply query and key feature by feature, add up, divide by sqrt(D)",
        ),
    ),
    wrong=(
        Wrong(
            name="softmax over the queries",
            answer=_attention_variant(weigh=lambda s: s.softmax(dim=0)),
            hint="your columns sum to 1, your rows do not: each query distributes its own attention, so along which "
            "axis of the (T, S) scores does the softmax run?",
        ),
        Wrong(
            name="keys not transposed",
            answer=_attention_variant(scores=lambda q, k: q @ k),
            hint="the scores are a table with one row per query and one column per key: q @ k pairs other axes, and "
            "only runs when the sizes happen to fit",
        ),
        Wrong(
            name="product the other way round",
            answer=_attention_variant(scores=lambda q, k: k @ q.T),
            hint="this table has one row per key; the softmax and the product with v want one row per query",
        ),
        Wrong(
            name="no scale",
            answer=_attention_variant(scale=lambda q, k: 1.0),
            hint="the scores grow with the width of the vectors: something about D is missing before the softmax",
        ),
        Wrong(
            name="scale by the number of keys",
            answer=_attention_variant(scale=lambda q, k: 1 / math.sqrt(k.shape[0])),
            hint="a score is a sum over features, not over keys: which size should the root be taken of?",
        ),
        Wrong(
            name="scale by the number of queries",
            answer=_attention_variant(scale=lambda q, k: 1 / math.sqrt(q.shape[0])),
            hint="the number of queries does not change a score; the number of features does",
        ),
        Wrong(
            name="divided by D",
            answer=_attention_variant(scale=lambda q, k: 1 / q.shape[-1]),
            hint="a sum of D independent terms spreads like the root of D, not like D itself: the scores are now too "
            "flat",
        ),
        Wrong(
            name="multiplied by the root",
            answer=_attention_variant(scale=lambda q, k: math.sqrt(q.shape[-1])),
            hint="the scale should calm the scores, and yours are larger than before: on which side of the fraction "
            "does the root belong?",
        ),
        Wrong(
            name="the root of 3, as in the worked example",
            answer=_attention_variant(scale=lambda q, k: 1 / math.sqrt(3)),
            hint="3 was the width of the worked example's keys: read the width off the tensors",
        ),
        Wrong(
            name="scale by the width of the values",
            answer=lambda q, k, v: ((q @ k.T) / math.sqrt(v.shape[-1])).softmax(dim=-1) @ v,
            hint="values may have a width of their own, and take no part in a score: whose width counts there?",
        ),
        Wrong(
            name="softmax over the whole table",
            answer=_attention_variant(weigh=lambda s: s.exp() / s.exp().sum()),
            hint="the queries share one unit of attention here: each of them has one of its own, so each row has a "
            "sum of its own",
        ),
        Wrong(
            name="row sums that lost their axis",
            answer=_attention_variant(weigh=lambda s: s.exp() / s.exp().sum(dim=-1)),
            hint="a sum over the keys has shape (T,) and is laid out along the keys when you divide: keep its axis, "
            "or let the softmax do it",
        ),
        Wrong(
            name="causal mask",
            answer=_attention_variant(weigh=lambda s: (s - 1e9 * torch.ones_like(s).triu(1)).softmax(dim=-1)),
            hint="nothing is hidden in this exercise: every query may look at every key",
        ),
        Wrong(
            name="cosines instead of dot products",
            answer=_attention_variant(
                scores=lambda q, k: torch.cosine_similarity(q[:, None], k, dim=-1), scale=lambda q, k: 1.0
            ),
            hint="these scores ignore how long queries and keys are; in a dot product lengths count",
        ),
        Wrong(
            name="no softmax",
            answer=_attention_variant(weigh=lambda s: s),
            hint="these are scores, some of them negative; what turns a row of scores into shares?",
        ),
        Wrong(
            name="neither softmax nor scale",
            answer=lambda q, k, v: q @ k.T @ v,
            hint="two products alone are one linear map: what turns a row of scores into shares that sum to 1, and "
            "what keeps the scores calm?",
        ),
        Wrong(
            name="softmax of unscaled scores, scaled afterwards",
            answer=lambda q, k, v: (q @ k.T).softmax(dim=-1) / math.sqrt(q.shape[-1]) @ v,
            hint="the scale belongs inside the softmax: scaling the weights afterwards makes every row sum to less "
            "than 1",
        ),
        Wrong(
            name="weights returned",
            answer=_attention_variant(mix=lambda w, v: w),
            hint="these are the weights, one per (query, key); what is each of them a weight of?",
        ),
        Wrong(
            name="keys mixed instead of values",
            answer=lambda q, k, v: attention(q, k, k),
            hint="keys decide how much, values are what is handed over: look at the last product",
        ),
    ),
    notice="Width D enters only the scores: values may have another width, and T and S need not match.",
)
