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


Positions = Callable[[int, int], Tensor]


def _from(shift: int) -> Positions:
    """New tokens at their positions, moved by `shift` (but not below 0)."""
    return lambda n_past, n_new: torch.arange(n_new) + max(n_past + shift, 0)


_CONTINUED = _from(0)


def _restarted(n_past: int, n_new: int) -> Tensor:
    return torch.arange(n_new)


def _all_at_one(n_past: int, n_new: int) -> Tensor:
    return torch.full((n_new,), n_past)


def _variant(
    *, at: Positions = _CONTINUED, at_q: Positions | None = None, at_k: Positions | None = None, turns: str = "qk",
    mask: str = "right", mix: str = "softmax", joined: str = "past first", width: str = "head", returns: str = "all",
) -> Callable[..., Step]:  # fmt: skip
    """`cached_attention` with a slip."""

    def variant(x: Tensor, past_k: Tensor, past_v: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> Step:
        (n_past, d_head), n_new = past_k.shape, len(x)
        places = {"q": at_q or at, "k": at_k or at, "v": at}
        q, k, v = (
            rotate(y, rope_rotation(places[name](n_past, n_new), d_head)) if name in turns else y
            for name, y in (("q", x @ w_q), ("k", x @ w_k), ("v", x @ w_v))
        )
        keys, values = {
            "past first": lambda: (torch.cat([past_k, k]), torch.cat([past_v, v])),
            "new first": lambda: (torch.cat([k, past_k]), torch.cat([v, past_v])),
            "crossed": lambda: (torch.cat([past_v, k]), torch.cat([past_k, v])),
            "past forgotten": lambda: (k, v),
        }[joined]()
        kept = keys
        if turns == "qK":  # all keys, the cached ones a second time
            keys = rotate(keys, rope_rotation(torch.arange(len(keys)), d_head))
        scores = q @ keys.T / {"head": d_head**0.5, "model": x.shape[1] ** 0.5, "no root": d_head, "none": 1,
                               "times the root": d_head**-0.5}[width]  # fmt: skip
        out = _mixed(scores, mask, mix, n_past if joined != "past forgotten" else 0) @ values
        return {"all": (out, keys, values), "new": (out, k, v), "unrotated": (out, kept, values),
                "keys not rotated": (out, torch.cat([past_k, x @ w_k]), values),
                "exchanged": (out, values, keys)}[returns]  # fmt: skip

    return variant


def _mixed(scores: Tensor, mask: str, mix: str, n_past: int) -> Tensor:
    """Weights from scores (T, S), with one of several masks."""
    query, key = torch.arange(scores.shape[0])[:, None], torch.arange(scores.shape[1])
    seen = {
        "right": key <= query + n_past,
        "top-left": key <= query,
        "none": key >= 0,
        "one further": key <= query + n_past + 1,
        "not itself": key < query + n_past,
        "past only": (key < n_past) | ((key == query) & (n_past == 0)),
        "new only": (key <= query + n_past) & (key >= n_past),
    }[mask].expand_as(scores)
    hidden = scores.masked_fill(~seen, float("-inf"))
    return {
        "softmax": lambda: hidden.softmax(dim=-1),
        "over queries": lambda: hidden.softmax(dim=0),
        "none": lambda: scores * seen,
        "hidden scores zero": lambda: scores.masked_fill(~seen, 0.0).softmax(dim=-1),
        "mask after softmax": lambda: scores.softmax(dim=-1) * seen,
    }[mix]()


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
            answer=_variant(at=_restarted),
            hint="right with an empty past and wrong after it: the new tokens are rotated as if the text began with "
            "them. How many tokens came before?",
        ),
        Wrong(
            name="positions and mask restart",
            answer=_variant(at=_restarted, mask="top-left"),
            hint="both rotation and mask count from the first new token: where does that token stand in the text?",
        ),
        Wrong(
            name="off by one",
            answer=_variant(at=_from(1)),
            hint="positions count from zero: after P tokens, at 0 to P - 1, where does the next one stand?",
        ),
        Wrong(
            name="one too early",
            answer=_variant(at=_from(-1)),
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
            answer=_variant(width="none"),
            hint="the scores grow with the width of the head: something is missing before the softmax",
        ),
        Wrong(name="scaled by the model's width", answer=_variant(width="model"),
              hint="the scale is that of the model: how many numbers are multiplied and added up in one score?"),
        Wrong(name="root forgotten", answer=_variant(width="no root"),
              hint="the scores are divided by too much: by what power of the width does their spread grow?"),
        Wrong(name="queries restart", answer=_variant(at_q=_restarted),
              hint="keys continue and queries start again: both belong to the same token, so to the same position"),
        Wrong(name="keys restart", answer=_variant(at_k=_restarted),
              hint="queries continue and keys start again: both belong to the same token, so to the same position"),
        Wrong(name="all new tokens at one position", answer=_variant(at=_all_at_one),
              hint="right for one new token at a time: with several, how far is the second from the first?"),
        Wrong(name="nothing rotated", answer=_variant(turns=""),
              hint="right while nothing is cached and one token comes: where does the order of tokens come in?"),
        Wrong(name="cached before rotation", answer=_variant(turns="qK", returns="unrotated"),
              hint="you keep keys as they are before rotation and rotate all when they are read; here the cached ones "
                   "have already been turned"),
        Wrong(name="returned before rotation", answer=_variant(returns="keys not rotated"),
              hint="out is right, but the keys handed on are not rotated: the next call takes them as they are"),
        Wrong(name="keys and values exchanged", answer=_variant(returns="exchanged"),
              hint="all is computed; compare the order of what you return with the docstring"),
        Wrong(name="past crossed", answer=_variant(joined="crossed"),
              hint="new keys follow old values here, and new values old keys"),
        Wrong(name="past not looked at", answer=_variant(mask="new only"),
              hint="the cache is joined and then hidden: new tokens see each other only"),
        Wrong(name="one further", answer=_variant(mask="one further"),
              hint="each new token sees one that comes after it: from which column on is a row hidden?"),
        Wrong(name="not itself", answer=_variant(mask="not itself"),
              hint="a token may see itself: with an empty past, the first one sees nothing at all here"),
        Wrong(name="hidden scores zero", answer=_variant(mix="hidden scores zero"),
              hint="a score of 0 is a score like others: which one leaves no weight after the softmax?"),
        Wrong(name="mask after the softmax", answer=_variant(mix="mask after softmax"),
              hint="hidden keys have taken their share before they are hidden: do the weights of a row sum to 1?"),
        Wrong(name="times the root", answer=_variant(width="times the root"),
              hint="the scale makes large scores larger: what is it there for?"),
        Wrong(name="no softmax", answer=_variant(mix="none"),
              hint="scores are used as weights: what makes them positive, with sum 1?"),
        Wrong(name="softmax over queries", answer=_variant(mix="over queries"),
              hint="each query distributes its own attention: along which axis do the weights sum to 1?"),
    ),
    notice="With an empty past this is the full pass, with one token a decoding step, with a few a chunk of a prompt: "
    "one function is all three.",
)  # fmt: skip
