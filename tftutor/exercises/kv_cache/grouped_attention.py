"""Exercise: attention whose query heads share key and value heads."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, has_shape
from tftutor.exercises.exercise import named_case as case


def grouped_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of H query heads over G key and value heads (no mask).

    q: (B, H, T, Dh).
    k, v: (B, G, S, Dh); H is a multiple of G. Neighbouring query heads share:
        with H = 4 and G = 2, query heads 0 and 1 use key head 0.
    Returns (B, H, T, Dh).
    """
    n_sharing = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(n_sharing, dim=1), v.repeat_interleave(n_sharing, dim=1)
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(batch: int, heads: int, groups: int, n_query: int, n_key: int, width: int) -> Case:
        q = torch.randn(batch, heads, n_query, width, generator=generator)
        k, v = (torch.randn(batch, groups, n_key, width, generator=generator) for _ in range(2))
        return case(q=q, k=k, v=v)

    return [draw(1, 2, 1, 3, 4, 5), draw(2, 4, 2, 1, 5, 3), draw(3, 6, 2, 4, 7, 5), draw(2, 6, 3, 5, 4, 7),
            draw(2, 4, 4, 3, 6, 5)]  # fmt: skip


Share = Callable[[Tensor, int], Tensor]


def _interleaved(x: Tensor, n_heads: int) -> Tensor:
    return x.repeat_interleave(n_heads // x.shape[1], dim=1)


def _tiled(x: Tensor, n_heads: int) -> Tensor:
    return x.repeat(1, n_heads // x.shape[1], 1, 1)


def _first(x: Tensor, n_heads: int) -> Tensor:
    return x[:, :1].expand(-1, n_heads, -1, -1)


def _mean(x: Tensor, n_heads: int) -> Tensor:
    return x.mean(dim=1, keepdim=True).expand(-1, n_heads, -1, -1)


def _backwards(x: Tensor, n_heads: int) -> Tensor:
    return _interleaved(x.flip(1), n_heads)


def _variant(
    share_k: Share, share_v: Share, *, scale: str = "root of width", axis: int = -1, values: str = "v"
) -> Callable[..., Tensor]:
    """`grouped_attention` with a slip."""

    def variant(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n_heads, width = q.shape[1], q.shape[-1]
        factor = {"none": 1.0, "root of width": width**-0.5, "width": 1 / width, "d_model": (n_heads * width) ** -0.5,
                  "keys": k.shape[2] ** -0.5}[scale]  # fmt: skip
        scores = q @ share_k(k, n_heads).transpose(-2, -1) * factor
        return scores.softmax(dim=axis) @ share_v(v if values == "v" else k, n_heads)

    return variant


def _one_query_a_group(choose: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """One result for all heads that share; `choose` makes (B, G, T, Dh) of (B, G, H / G, T, Dh)."""

    def variant(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return _interleaved(grouped_attention(choose(q.unflatten(1, (k.shape[1], -1))), k, v), q.shape[1])

    return variant


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = _interleaved(k, q.shape[1]), _interleaved(v, q.shape[1])
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def _no_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = _interleaved(k, q.shape[1]), _interleaved(v, q.shape[1])
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) @ v


def _fewer_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n_sharing = q.shape[1] // k.shape[1]
    return grouped_attention(q[:, ::n_sharing], k, v)


def _mha_is_a_case(trial: Trial) -> Mismatch | None:
    """With every key head written out H / G times, nothing changes."""
    q, k, v = trial.args
    return compare(trial.output, trial.call(q, _interleaved(k, q.shape[1]), _interleaved(v, q.shape[1])))


GROUPED_ATTENTION = Exercise(
    id="kv-cache/grouped-attention",
    title="Query heads that share keys and values",
    answer="grouped_attention",
    solution=grouped_attention,
    cases=_cases,
    properties=(
        has_shape("every query head has a result", lambda q, k, v: tuple(q.shape)),
        Property(
            sentence="writing each key and value head out for every query head that uses it changes nothing",
            test=_mha_is_a_case,
            hint="with G = H this is ordinary attention: which key head does query head h use otherwise?",
        ),
        equals(
            "query head h uses key and value head h // (H / G)",
            grouped_attention,
            hint="compute one query head by hand, with the key head it belongs to",
        ),
    ),
    wrong=(
        Wrong(
            name="repeat",
            answer=_variant(_tiled, _tiled),
            hint="query heads 0, 2, 4 share here: neighbouring queries share a KV head, so each one must be repeated "
            "before the next begins",
        ),
        Wrong(
            name="keys repeated, values interleaved",
            answer=_variant(_tiled, _interleaved),
            hint="keys and values are handed out in different orders: a head must read the values of the keys it "
            "was matched with; the keys' order is the wrong one",
        ),
        Wrong(
            name="values repeated, keys interleaved",
            answer=_variant(_interleaved, _tiled),
            hint="keys and values are handed out in different orders: a head must read the values of the keys it "
            "was matched with; the values' order is the wrong one",
        ),
        Wrong(
            name="first head for all",
            answer=_variant(_first, _first),
            hint="all query heads use key head 0: that is right for G = 1 only",
        ),
        Wrong(
            name="mean of the heads",
            answer=_variant(_mean, _mean),
            hint="the groups are averaged into one: each group keeps keys and values of its own",
        ),
        Wrong(
            name="groups backwards",
            answer=_variant(_backwards, _backwards),
            hint="the last query heads use the first key head: groups are counted in the same order on both sides",
        ),
        Wrong(
            name="query heads dropped",
            answer=_fewer_queries,
            hint="only G query heads are left: sharing saves keys and values, all H queries still ask",
        ),
        Wrong(
            name="no scale",
            answer=_variant(_interleaved, _interleaved, scale="none"),
            hint="the heads are shared rightly; the scores grow with the width of a head: what divides them?",
        ),
        Wrong(
            name="scaled by the model's width",
            answer=_variant(_interleaved, _interleaved, scale="d_model"),
            hint="the heads are shared rightly; the scale is that of all heads together: use the width of one",
        ),
        Wrong(name="root forgotten", answer=_variant(_interleaved, _interleaved, scale="width"),
              hint="the heads are shared rightly; the scores are divided by too much: what is the root for?"),
        Wrong(name="scaled by the number of keys", answer=_variant(_interleaved, _interleaved, scale="keys"),
              hint="the heads are shared rightly; the scale depends on how many keys there are: it should not"),
        Wrong(name="no softmax", answer=_no_softmax,
              hint="the heads are shared rightly; the weights of a query do not sum to 1"),
        Wrong(name="causal mask", answer=_causal,
              hint="the heads are shared rightly; some keys are hidden, and nobody asked for a mask"),
        Wrong(name="mean query", answer=_one_query_a_group(lambda q: q.mean(dim=2)),
              hint="the queries of a group are averaged: they share keys and values, and each asks for itself"),
        Wrong(name="first query of a group", answer=_one_query_a_group(lambda q: q[:, :, 0]),
              hint="heads that share get the same result here: each still has a query of its own"),
        Wrong(name="values are keys", answer=_variant(_interleaved, _interleaved, values="k"),
              hint="what is mixed are keys: weights come from k, and what they mix comes from where?"),
        Wrong(
            name="softmax over queries",
            answer=_variant(_interleaved, _interleaved, axis=-2),
            hint="the heads are shared rightly; each query distributes its own attention over the keys, not each key",
        ),
    ),
    notice="The cache holds G heads, the arithmetic sees H: writing the heads out is for readability, kernels read "
    "each shared head once.",
)  # fmt: skip
