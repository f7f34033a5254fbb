"""Exercise: one head of causal attention that continues a cached past."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, named_case
from tftutor.exercises.values import Trouble, fresh, read_tensor, shape_text, show
from tftutor.positions import rope_rotation, rotate

PARTS = ("out", "keys", "values")
Step = tuple[Tensor, Tensor, Tensor]


def cached_attention(
    x: Tensor, past_k: Tensor, past_v: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Step:
    """One head of causal attention for T new tokens that follow P cached ones.

    x: the new tokens (T, D).
    past_k, past_v: keys (already rotated) and values of the tokens before,
        (P, Dh); P may be 0.
    w_q, w_k, w_v: projections (D, Dh), used as x @ w.
    Queries and keys carry RoPE: rotate(y, rope_rotation(positions, Dh)) turns
        y (T, Dh) by integer positions (T,).
    Returns out (T, Dh), keys (P + T, Dh), values (P + T, Dh).
    """
    n_past, n_new = len(past_k), len(x)
    positions = torch.arange(n_past, n_past + n_new)
    rotation = rope_rotation(positions, w_q.shape[1])
    q, k = rotate(x @ w_q, rotation), rotate(x @ w_k, rotation)
    keys, values = torch.cat([past_k, k]), torch.cat([past_v, x @ w_v])
    scores = q @ keys.T / math.sqrt(q.shape[1])
    seen = torch.arange(n_past + n_new) <= positions[:, None]
    weights = scores.masked_fill(~seen, float("-inf")).softmax(dim=-1)
    return weights @ values, keys, values


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(n_past: int, n_new: int, d_model: int, d_head: int) -> Case:
        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        w_q, w_k, w_v = (normal(d_model, d_head) * d_model**-0.5 * 2 for _ in range(3))
        nothing = torch.zeros(0, d_head)
        _, past_k, past_v = cached_attention(normal(n_past, d_model), nothing, nothing, w_q, w_k, w_v)
        return named_case(x=normal(n_new, d_model), past_k=past_k, past_v=past_v, w_q=w_q, w_k=w_k, w_v=w_v)

    return [draw(0, 1, 5, 2), draw(3, 1, 5, 4), draw(0, 3, 7, 4), draw(4, 2, 5, 6), draw(7, 4, 9, 6)]


def _read(value: Any) -> Step:
    """Three tensors."""
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise Trouble("returns the wrong kind of thing", "return three things: the result, all keys, all values",
                      expected="out, keys, values", got=show(value))  # fmt: skip
    return tuple(read_tensor(part) for part in value)


def _shapes(trial: Trial) -> Mismatch | None:
    x, past_k, *_, w_v = trial.args
    n_all, d_head = len(past_k) + len(x), w_v.shape[1]
    shapes = ((len(x), d_head), (n_all, d_head), (n_all, d_head))
    for name, part, shape in zip(PARTS, trial.output, shapes, strict=True):
        if tuple(part.shape) != shape:
            return Mismatch(f"{name} of shape {shape}", f"shape {shape_text(part)}")
    return None


def _future_hidden(trial: Trial) -> Mismatch | None:
    x, *rest = trial.args
    other = torch.cat([x[:-1], x[-1:] + 1.0])
    return compare(trial.output[0][:-1], trial.call(other, *rest)[0][:-1])


def _any_split(trial: Trial) -> Mismatch | None:
    """All at once, or one token after the other."""
    x, keys, values, *weights = trial.args
    parts = []
    for token in x.split(1):
        out, keys, values = trial.call(token, keys, values, *weights)
        parts.append(out)
    for name, whole, pieces in zip(PARTS, trial.output, (torch.cat(parts), keys, values), strict=True):
        if mismatch := compare(whole, pieces):
            return Mismatch(f"{name} in one call: {mismatch.expected}", f"token by token: {mismatch.got}")
    return None


def _is_the_solution(trial: Trial) -> Mismatch | None:
    for name, wanted, got in zip(PARTS, cached_attention(*fresh(trial.args)), trial.output, strict=True):
        if mismatch := compare(wanted, got):
            return Mismatch(f"{name}: {mismatch.expected}", mismatch.got)
    return None


def _variant(
    *, rotated_from: Callable[[int], int] = lambda n_past: n_past, turns: str = "qk", mask: str = "right",
    joined: str = "past first", scaled: bool = True, returns: str = "all",
) -> Callable[..., Step]:  # fmt: skip
    """`cached_attention` with a slip."""

    def variant(x: Tensor, past_k: Tensor, past_v: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> Step:
        n_past, n_new = len(past_k), len(x)
        start = rotated_from(n_past)
        rotation = rope_rotation(torch.arange(start, start + n_new), w_q.shape[1])
        q, k, v = (rotate(y, rotation) if name in turns else y for name, y in zip("qkv", (x @ w_q, x @ w_k, x @ w_v)))  # noqa: B905
        keys, values = {
            "past first": (torch.cat([past_k, k]), torch.cat([past_v, v])),
            "new first": (torch.cat([k, past_k]), torch.cat([v, past_v])),
            "past forgotten": (k, v),
        }[joined]
        if turns == "qK":  # all keys, the cached ones a second time
            keys = rotate(keys, rope_rotation(torch.arange(len(keys)), w_q.shape[1]))
        scores = q @ keys.T / (math.sqrt(q.shape[1]) if scaled else 1)
        query, key = torch.arange(n_new)[:, None], torch.arange(len(keys))
        offset = n_past if joined != "past forgotten" else 0
        seen = {"right": key <= query + offset, "top-left": key <= query, "none": key >= 0,
                "past only": (key < n_past) | ((key == query) & (n_past == 0))}[mask]  # fmt: skip
        out = scores.masked_fill(~seen, float("-inf")).softmax(dim=-1) @ values
        return (out, k, v) if returns == "new" else (out, keys, values)

    return variant


CACHED_ATTENTION = Exercise(
    id="kv-cache/cached-attention",
    title="Attention that continues a past",
    answer="cached_attention",
    solution=cached_attention,
    cases=_cases,
    read=_read,
    properties=(
        Property(sentence="out has a row for each new token, keys and values for each token so far", test=_shapes,
                 hint="print the shapes: what has grown, and what belongs to new tokens only?"),
        Property(sentence="a later new token does not change the results of earlier ones", test=_future_hidden,
                 hint="among the new tokens the causal rule still holds"),
        Property(sentence="reading token by token gives the same as reading all at once", test=_any_split,
                 hint="at which position does the first new token stand, and which keys may it see?"),
        Property(sentence="out, keys and values are those of causal attention with RoPE", test=_is_the_solution,
                 hint="compute one score by hand, of a new query and a cached key"),
    ),
    wrong=(
        Wrong(
            name="positions restart",
            answer=_variant(rotated_from=lambda n_past: 0),
            hint="right with an empty past and wrong after it: the new tokens are rotated as if the text began with "
            "them. How many tokens came before?",
        ),
        Wrong(
            name="positions and mask restart",
            answer=_variant(rotated_from=lambda n_past: 0, mask="top-left"),
            hint="both rotation and mask count from the first new token: where does that token stand in the text?",
        ),
        Wrong(
            name="off by one",
            answer=_variant(rotated_from=lambda n_past: n_past + 1),
            hint="positions count from zero: after P tokens, at 0 to P - 1, where does the next one stand?",
        ),
        Wrong(
            name="one too early",
            answer=_variant(rotated_from=lambda n_past: max(n_past - 1, 0)),
            hint="the first new token is rotated like the last cached one: two tokens at one position",
        ),
        Wrong(
            name="mask aligned top-left",
            answer=_variant(mask="top-left"),
            hint="the first new token sees nothing but the oldest key: a new query stands after the cached keys, so "
            "one query may see all of them",
        ),
        Wrong(
            name="no mask",
            answer=_variant(mask="none"),
            hint="fine for one new token at a time; with several, the earlier ones see the later ones",
        ),
        Wrong(
            name="new tokens not seen",
            answer=_variant(mask="past only"),
            hint="a token may see itself: its own key and value have to be there before it looks",
        ),
        Wrong(
            name="past forgotten",
            answer=_variant(joined="past forgotten"),
            hint="nothing of the past arrives: what are past_k and past_v for?",
        ),
        Wrong(
            name="new tokens first",
            answer=_variant(joined="new first"),
            hint="the new keys stand before the old ones: the next step will count on their order",
        ),
        Wrong(
            name="only new keys returned",
            answer=_variant(returns="new"),
            hint="the next step gets what you return: it needs the keys and values of all tokens so far",
        ),
        Wrong(
            name="cached keys rotated again",
            answer=_variant(turns="qK"),
            hint="cached keys were rotated when they came in: now they are turned a second time, every step",
        ),
        Wrong(
            name="queries not rotated",
            answer=_variant(turns="k"),
            hint="only keys are rotated: a score depends on distance only if both sides turn",
        ),
        Wrong(
            name="keys not rotated",
            answer=_variant(turns="q"),
            hint="only queries are rotated: a score depends on distance only if both sides have turned",
        ),
        Wrong(
            name="values rotated",
            answer=_variant(turns="qkv"),
            hint="values carry what is handed over, not where it stood: leave them as they are",
        ),
        Wrong(
            name="no scale",
            answer=_variant(scaled=False),
            hint="the scores grow with the width of the head: something is missing before the softmax",
        ),
    ),
    notice="With an empty past this is the full pass, with one token a decoding step, with a few a chunk of a prompt: "
    "one function is all three.",
)
