"""Exercise: the first score function of attention, without loops."""

from __future__ import annotations

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
    distinct_sizes,
    equals,
    has_shape,
    named_case,
)


def additive_scores(q: Tensor, k: Tensor, w_q: Tensor, w_k: Tensor, v: Tensor) -> Tensor:
    """Additive (Bahdanau) scores: s_ij = v . tanh(q_i w_q + k_j w_k).

    q: queries (T, D).  k: keys (S, E).  w_q: (D, A).  w_k: (E, A).  v: (A,).
    Returns (T, S).
    """
    return torch.tanh((q @ w_q)[:, None] + (k @ w_k)[None]) @ v


def with_loops(q: Tensor, k: Tensor, w_q: Tensor, w_k: Tensor, v: Tensor) -> Tensor:
    """The same, pair by pair, as the formula says it."""
    rows = [torch.stack([v @ torch.tanh(query @ w_q + key @ w_k) for key in k]) for query in q]
    return torch.stack(rows)


def _additive_cases(generator: torch.Generator) -> list[Case]:
    def draw(t: int, s: int, d: int, e: int, a: int) -> Case:
        shapes = ((t, d), (s, e), (d, a), (e, a), (a,))
        q, k, w_q, w_k, v = (torch.randn(shape, generator=generator) for shape in shapes)
        return named_case(q=q, k=k, w_q=w_q, w_k=w_k, v=v)

    cases = [draw(2, 3, 4, 5, 6), draw(1, 4, 3, 2, 5)]
    cases += [draw(*distinct_sizes(generator, 5, 2, 9)) for _ in range(3)]
    return [*cases, draw(4, 4, 4, 4, 4)]  # square: sums along the wrong axes give numbers here


def _is_bounded(trial: Trial) -> Mismatch | None:
    q, k, w_q, w_k, v = trial.args
    bound, largest = float(v.abs().sum()), float(trial.call(100 * q, 100 * k, w_q, w_k, v).abs().max())
    return None if largest <= bound * 1.001 else Mismatch(f"at most |v| summed up, {bound:.3g}", f"{largest:.3g}")


def _variant(
    *, pair: Callable[[Tensor, Tensor], Tensor] = lambda a, b: a[:, None] + b[None],
    squash: Callable[[Tensor], Tensor] = torch.tanh,
    read: Callable[[Tensor, Tensor], Tensor] = lambda hidden, v: hidden @ v,
) -> Callable[..., Tensor]:  # fmt: skip
    """Additive scores with one of its steps replaced."""
    return lambda q, k, w_q, w_k, v: read(squash(pair(q @ w_q, k @ w_k)), v)


ADDITIVE = Exercise(
    id="scores/additive",
    title="Additive scores without loops",
    answer="additive_scores",
    solution=additive_scores,
    cases=_additive_cases,
    properties=(
        has_shape("there is one score per query and key", lambda q, k, w_q, w_k, v: (q.shape[0], k.shape[0])),
        Property(
            sentence="tanh keeps every score within the sum of |v|, even when queries and keys are 100 times as long",
            test=_is_bounded,
            hint="nothing here keeps the score small: which function of the formula would, and where does it stand?",
        ),
        equals(
            "each score equals that of two loops over queries and keys",
            with_loops,
            hint="project all queries and all keys first; then every projected query has to meet every projected key",
        ),
    ),
    wrong=(
        Wrong(
            name="no tanh",
            answer=_variant(squash=lambda x: x),
            hint="without the squashing the score is a number for the query plus a number for the key, and every query "
            "would prefer the same keys",
        ),
        Wrong(
            name="tanh of the score",
            answer=_variant(squash=lambda x: x, read=lambda hidden, v: torch.tanh(hidden @ v)),
            hint="the squashing acts on each hidden unit, before they are summed up",
        ),
        Wrong(
            name="tanh before the sum",
            answer=lambda q, k, w_q, w_k, v: (torch.tanh(q @ w_q)[:, None] + torch.tanh(k @ w_k)[None]) @ v,
            hint="query and key never meet in a non-linear function here, so the score is a sum of two separate "
            "numbers: add first",
        ),
        Wrong(
            name="product instead of sum",
            answer=_variant(pair=lambda a, b: a[:, None] * b[None]),
            hint="here the two projections are multiplied; in the additive score they meet in a sum",
        ),
        Wrong(
            name="difference instead of sum",
            answer=_variant(pair=lambda a, b: a[:, None] - b[None]),
            hint="query and key meet in a sum here; the sign in front of the key is wrong",
        ),
        Wrong(
            name="dot product of the projections",
            answer=lambda q, k, w_q, w_k, v: (q @ w_q) @ (k @ w_k).T,
            hint="this is a dot product of two projections: cheap, and another score; tanh and v have not been used",
        ),
        Wrong(
            name="ReLU",
            answer=_variant(squash=torch.relu),
            hint="everything stands in its place, but the function in the middle is another one, with no upper bound",
        ),
        Wrong(
            name="sigmoid",
            answer=_variant(squash=torch.sigmoid),
            hint="close: the squashing function of the formula goes from -1 to 1, yours from 0 to 1",
        ),
        Wrong(
            name="tanh twice",
            answer=_variant(read=lambda hidden, v: torch.tanh(hidden @ v)),
            hint="the score itself is not squashed, only the hidden layer is: once is enough",
        ),
        Wrong(
            name="mean over hidden units",
            answer=_variant(read=lambda hidden, v: hidden @ v / v.shape[0]),
            hint="the hidden units are added up, weighed by v, not averaged",
        ),
        Wrong(
            name="an axis of size 1 left",
            answer=_variant(read=lambda hidden, v: hidden @ v[:, None]),
            hint="the numbers are right, and the last axis has one entry: what does a matrix times a vector, not "
            "times a column, leave behind?",
        ),
        Wrong(
            name="softmax over the queries",
            answer=_variant(read=lambda hidden, v: (hidden @ v).softmax(dim=0)),
            hint="no softmax is asked for here, and if it were, it would run over the keys of one query",
        ),
        Wrong(
            name="divided by the root of the query's width",
            answer=lambda q, k, w_q, w_k, v: additive_scores(q, k, w_q, w_k, v) / q.shape[-1] ** 0.5,
            hint="the root of the width calms a dot product; these scores are bounded as they are",
        ),
        Wrong(
            name="v forgotten",
            answer=_variant(read=lambda hidden, v: hidden.sum(dim=-1)),
            hint="hidden units count alike here: which vector says how much each of them matters, and with which sign?",
        ),
        Wrong(
            name="hidden layer returned",
            answer=_variant(read=lambda hidden, v: hidden * v),
            hint="a score is one number per pair; a whole hidden layer is left for each of them",
        ),
        Wrong(
            name="transposed",
            answer=lambda q, k, w_q, w_k, v: with_loops(q, k, w_q, w_k, v).T,
            hint="one row per query, one column per key: yours is the other way round",
        ),
        Wrong(
            name="query i meets key i only",
            answer=lambda q, k, w_q, w_k, v: torch.tanh(q @ w_q + k @ w_k) @ v,
            hint="this adds query i to key i, and only runs when there are as many of both: give each its own axis, "
            "so that all pairs are formed",
        ),
        Wrong(
            name="softmax taken",
            answer=_variant(read=lambda hidden, v: (hidden @ v).softmax(dim=-1)),
            hint="these are attention weights, one step further; asked are the scores",
        ),
        Wrong(
            name="divided by the root of the hidden width",
            answer=_variant(read=lambda hidden, v: hidden @ v / v.shape[0] ** 0.5),
            hint="there is a factor that the formula does not have: it belongs to the dot product, which has no tanh",
        ),
    ),
    notice="All T x S hidden layers exist at once: A numbers for each pair, where a dot product leaves one.",
)


