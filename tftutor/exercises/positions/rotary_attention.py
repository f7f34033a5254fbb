"""Exercise: attend with rotated queries and keys."""

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
    has_shape,
    named_case,
)
from tftutor.exercises.values import same
from tftutor.positions import rope_rotation, rotate, sinusoids


def rope_attention(q: Tensor, k: Tensor, v: Tensor, query_pos: Tensor, key_pos: Tensor) -> Tensor:
    """One head of attention with rotary positions, without a mask.

    q: queries (T, Dh).  k: keys (S, Dh).  v: values (S, Dv).
    query_pos, key_pos: whole numbers (T,) and (S,), where they stand.
    Returns (T, Dv). Use rotate and rope_rotation; divide scores by sqrt(Dh).
    """
    d_head = q.shape[-1]
    q = rotate(q, rope_rotation(query_pos, d_head))
    k = rotate(k, rope_rotation(key_pos, d_head))
    return (q @ k.T / d_head**0.5).softmax(dim=-1) @ v


def _turned(x: Tensor, positions: Tensor, layout: str = "halves") -> Tensor:
    return rotate(x, rope_rotation(positions, x.shape[-1], layout=layout))


def _attention_cases(generator: torch.Generator) -> list[Case]:
    def draw(t: int, s: int, width: int, dv: int, first: int) -> Case:
        q, k, v = (torch.randn(shape, generator=generator) for shape in ((t, width), (s, width), (s, dv)))
        key_pos = torch.randperm(3 * s, generator=generator)[:s]
        return named_case(q=1.5 * q, k=k, v=v, query_pos=torch.arange(first, first + t), key_pos=key_pos)

    cases = [draw(1, 2, 4, 6, 3), draw(2, 3, 4, 2, 5), draw(3, 5, 8, 4, 2), draw(5, 4, 6, 8, 9)]
    # The last ones have T = S and Dv = Dh: there, mistakes run that stop with an error elsewhere.
    more = [distinct_sizes(generator, 2, 3, 8) for _ in range(2)]
    return [*cases, *(draw(t, s, 2 * t, 2 * s, 7) for t, s in more), draw(6, 6, 8, 8, 4)]


def _no_shift(trial: Trial) -> Mismatch | None:
    q, k, v, query_pos, key_pos = trial.args
    return compare(trial.output, trial.call(q, k, v, query_pos + 13, key_pos + 13))


def _position_counts(trial: Trial) -> Mismatch | None:
    q, k, v, query_pos, key_pos = trial.args
    moved = trial.call(q, k, v, query_pos + 2, key_pos)
    if same(trial.output, moved):
        return Mismatch("another result when only the queries move by 2", "the same")
    return None


def _values_untouched(trial: Trial) -> Mismatch | None:
    q, k, v, query_pos, key_pos = trial.args
    return compare(torch.ones(len(q), v.shape[1]), trial.call(q, k, torch.ones_like(v), query_pos, key_pos))


def _same_as_ours(trial: Trial) -> Mismatch | None:
    q, k, v, query_pos, key_pos = trial.args
    q, k = _turned(q, query_pos, "pairs"), _turned(k, key_pos, "pairs")
    if same(trial.output, (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=-1) @ v):
        return None
    return compare(rope_attention(*trial.args), trial.output)


def _attention_variant(
    *, turn_q: str | None = "halves", turn_k: str | None = "halves", turn_v: bool = False, turn_out: bool = False,
    add: bool = False, scaled: bool = True, count_keys: bool = False, exchange: bool = False,
) -> Callable[..., Tensor]:  # fmt: skip
    """Attention with RoPE and one slip."""

    def variant(q: Tensor, k: Tensor, v: Tensor, query_pos: Tensor, key_pos: Tensor) -> Tensor:
        d_head = q.shape[-1]
        if count_keys:
            query_pos, key_pos = torch.arange(len(q)), torch.arange(len(k))
        if exchange:
            query_pos, key_pos = key_pos, query_pos
        if add:
            q, k = q + sinusoids(query_pos, d_head).float(), k + sinusoids(key_pos, d_head).float()
        else:
            q = _turned(q, query_pos, turn_q) if turn_q else q
            k = _turned(k, key_pos, turn_k) if turn_k else k
        v = _turned(v, key_pos) if turn_v else v
        scores = q @ k.T / (math.sqrt(d_head) if scaled else 1.0)
        heads = scores.softmax(dim=-1) @ v
        return _turned(heads, query_pos) if turn_out else heads

    return variant


def _steps(*, dim: int | None = -1, values: bool = True, causal: bool = False) -> Callable[..., Tensor]:
    """Attention with RoPE in which a step after the scores is another or missing."""

    def variant(q: Tensor, k: Tensor, v: Tensor, query_pos: Tensor, key_pos: Tensor) -> Tensor:
        scores = _turned(q, query_pos) @ _turned(k, key_pos).T / q.shape[-1] ** 0.5
        if causal:
            scores = scores.masked_fill(key_pos > query_pos[:, None], torch.finfo(scores.dtype).min)
        weights = scores if dim is None else scores.softmax(dim=dim)
        return weights @ v if values else weights

    return variant


ROPE_ATTENTION = Exercise(
    id="positions/rope-attention",
    title="Attention with rotary positions",
    answer="rope_attention",
    solution=rope_attention,
    cases=_attention_cases,
    properties=(
        has_shape("there is one row per query, as wide as the values", lambda q, _k, v, *_: (q.shape[0], v.shape[1])),
        Property(
            sentence="values are only mixed (if all of them are 1, so is the result)",
            test=_values_untouched,
            hint="the shares of a query sum to 1; nothing else may happen to the values",
        ),
        Property(
            sentence="moving queries and keys by the same distance changes nothing",
            test=_no_shift,
            hint="which two of the three are turned, and do they turn alike?",
        ),
        Property(
            sentence="moving the queries alone does change the result",
            test=_position_counts,
            hint="query_pos and key_pos have to enter the scores",
        ),
        Property(
            sentence="the result is that of the package's attention with RoPE",
            test=_same_as_ours,
            hint="compute a single score by hand: turn q, turn k, multiply, divide by sqrt(Dh)",
        ),
    ),
    wrong=(
        Wrong(
            name="values rotated as well",
            answer=_attention_variant(turn_v=True),
            hint="your values turn with their positions, so what a token says depends on where the text stands: "
            "positions belong into the comparison only",
        ),
        Wrong(
            name="added instead of rotated",
            answer=_attention_variant(add=True),
            hint="added sines and cosines leave products of content with position behind: rotate instead of adding",
        ),
        Wrong(
            name="queries and keys in different pairs",
            answer=_attention_variant(turn_k="pairs"),
            hint="queries and keys pair their features differently, so their angles do not cancel: one layout for both",
        ),
        Wrong(
            name="queries and keys in different pairs, the other way round",
            answer=_attention_variant(turn_q="pairs"),
            hint="the two sides use different layouts; scores then change when the whole text moves",
        ),
        Wrong(
            name="only the queries rotated",
            answer=_attention_variant(turn_k=None),
            hint="a turned query meets keys that stayed where they were: the angle between them is then a position, "
            "not a distance",
        ),
        Wrong(
            name="only the keys rotated",
            answer=_attention_variant(turn_q=None),
            hint="keys know where they stand and queries do not: turn both",
        ),
        Wrong(
            name="no positions",
            answer=_attention_variant(turn_q=None, turn_k=None),
            hint="this is plain attention: where do the positions come in?",
        ),
        Wrong(
            name="rows counted",
            answer=_attention_variant(count_keys=True),
            hint="you number the rows yourself; with a cache the first query does not stand at 0: use the positions "
            "given",
        ),
        Wrong(
            name="positions exchanged",
            answer=_attention_variant(exchange=True),
            hint="query_pos has one entry per query, key_pos one per key: which vector is turned by which?",
        ),
        Wrong(
            name="result rotated",
            answer=_attention_variant(turn_out=True),
            hint="the mixture comes out turned by the position of its query: after the softmax nothing is turned any "
            "more",
        ),
        Wrong(
            name="no scale",
            answer=_attention_variant(scaled=False),
            hint="rotating keeps lengths, so the scores are as large as without positions and need the same divisor",
        ),
        Wrong(
            name="divided by Dh",
            answer=lambda q, k, v, query_pos, key_pos: rope_attention(q / q.shape[-1] ** 0.5, k, v, query_pos, key_pos),
            hint="the weights are too even: scores are divided by the square root of Dh, not by Dh",
        ),
        Wrong(
            name="divided by the root of Dv",
            answer=lambda q, k, v, query_pos, key_pos: rope_attention(
                q * (q.shape[-1] / v.shape[-1]) ** 0.5, k, v, query_pos, key_pos
            ),
            hint="how large a product is depends on the width of the vectors multiplied: is that the width of the "
            "values?",
        ),
        Wrong(
            name="softmax over the queries",
            answer=_steps(dim=0),
            hint="the shares of a key over all queries sum to 1 here; each query distributes its own attention",
        ),
        Wrong(
            name="no softmax",
            answer=_steps(dim=None),
            hint="the shares of a query should be positive and sum to 1: what turns scores into shares?",
        ),
        Wrong(
            name="weights returned",
            answer=_steps(values=False),
            hint="these are the shares of the queries, one per key: what is mixed by them?",
        ),
        Wrong(
            name="turned in opposite directions",
            answer=lambda q, k, v, query_pos, key_pos: rope_attention(q, k, v, query_pos, -key_pos),
            hint="queries and keys turn in opposite directions, so the angle between them is the sum of the positions",
        ),
        Wrong(
            name="turned twice",
            answer=lambda q, k, v, query_pos, key_pos: rope_attention(q, k, v, 2 * query_pos, 2 * key_pos),
            hint="every vector is turned twice: the distances count double",
        ),
        Wrong(
            name="queries numbered by row",
            answer=lambda q, k, v, _query_pos, key_pos: rope_attention(q, k, v, torch.arange(len(q)), key_pos),
            hint="you number the queries yourself: behind a cache the first of them does not stand at 0",
        ),
        Wrong(
            name="keys numbered by row",
            answer=lambda q, k, v, query_pos, _key_pos: rope_attention(q, k, v, query_pos, torch.arange(len(k))),
            hint="you number the keys yourself; in a cache the slots need not be in the order of the text",
        ),
        Wrong(
            name="causal",
            answer=_steps(causal=True),
            hint="later keys are hidden, and the task has no mask: distances may be negative here",
        ),
    ),
    notice="Keys may be cached after their rotation: where a key stands never changes, and the query brings the "
    "distance.",
)
