"""Exercises: multi-head attention from four matrices, and the reshape that goes wrong in silence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, has_shape, named_case
from tftutor.exercises.values import Trouble, number_text, show


def multi_head(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int) -> Tensor:
    """Self-attention with n_heads heads, without mask and biases.

    x: (B, T, D).  w_q, w_k, w_v, w_o: (D, D), used as x @ w.
    Head 0 owns the first D / n_heads columns of w_q, w_k and w_v, head 1 the
    next ones, and so on; w_o takes the heads side by side, in this order.
    Returns (B, T, D).
    """
    def split(y):
        return y.unflatten(-1, (n_heads, -1)).transpose(1, 2)  # (B, H, T, Dh)

    q, k, v = split(x @ w_q), split(x @ w_k), split(x @ w_v)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    heads = scores.softmax(dim=-1) @ v  # (B, H, T, Dh)
    return heads.transpose(1, 2).flatten(2) @ w_o


def _torchs(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int) -> Tensor:
    """What torch.nn.MultiheadAttention makes of the same matrices."""
    layer = nn.MultiheadAttention(x.shape[-1], n_heads, bias=False, batch_first=True)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([w_q, w_k, w_v], dim=1).T)  # nn.Linear keeps W transposed
        layer.out_proj.weight.copy_(w_o.T)
        return layer(x, x, x, need_weights=False)[0]


def _multi_head_cases(generator: torch.Generator) -> list[Case]:
    def draw(b: int, t: int, n_heads: int, d_head: int) -> Case:
        d = n_heads * d_head
        x = torch.randn(b, t, d, generator=generator)
        w = torch.randn(4, d, d, generator=generator) * 1.5 / math.sqrt(d)
        return named_case(x=x, w_q=w[0], w_k=w[1], w_v=w[2], w_o=w[3], n_heads=n_heads)

    # one head; one token; then all sizes different; as many tokens as heads; as many tokens as features of a head
    return [draw(1, 2, 1, 3), draw(2, 1, 3, 2), draw(1, 5, 2, 3), draw(2, 3, 4, 5), draw(3, 4, 4, 2), draw(2, 5, 3, 5)]


def _order_of_tokens(trial: Trial) -> Mismatch | None:
    x, *rest = trial.args
    change = float((trial.call(x.flip(1), *rest) - trial.output.flip(1)).abs().max())
    return None if change < 1e-4 else Mismatch("the same rows, reordered", f"rows that differ by {number_text(change)}")


def _variant(
    *,
    split: Callable[[Tensor, int], Tensor] = lambda y, h: y.unflatten(-1, (h, -1)).transpose(1, 2),
    merge: Callable[[Tensor], Tensor] = lambda heads: heads.transpose(1, 2).flatten(2),
    scale: Callable[[Tensor, Tensor], float] = lambda q, x: q.shape[-1] ** -0.5,
    axis: int = -1,
    project: Callable[[Tensor, Tensor], Tensor] = lambda x, w: x @ w,
    output: Callable[[Tensor, Tensor], Tensor] = lambda y, w: y @ w,
) -> Callable[..., Tensor]:
    """Multi-head attention with one of its steps replaced."""

    def variant(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int) -> Tensor:
        q, k, v = (split(project(x, w), n_heads) for w in (w_q, w_k, w_v))
        weights = (q @ k.mT * scale(q, x)).softmax(dim=axis)
        return output(merge(weights @ v), w_o)

    return variant


def _view_without_transpose(y: Tensor, n_heads: int) -> Tensor:
    return y.reshape(len(y), n_heads, y.shape[1], -1)


def _back_without_transpose(heads: Tensor) -> Tensor:
    b, h, t, d_head = heads.shape
    return heads.reshape(b, t, h * d_head)


def _merge_by_view(heads: Tensor) -> Tensor:
    b, h, t, d_head = heads.shape
    return heads.contiguous().transpose(1, 2).view(b, t, h * d_head)  # the view of a transposed tensor: an error


def _slice_then_project(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, n_heads: int
) -> Tensor:
    """Each head sees only its own features: the matrices' blocks off the diagonal go unused."""
    blocks = torch.block_diag(*[torch.ones(w_q.shape[0] // n_heads, w_q.shape[0] // n_heads)] * n_heads)
    return multi_head(x, w_q * blocks, w_k * blocks, w_v * blocks, w_o, n_heads)


def _dealt_out(y: Tensor, n_heads: int) -> Tensor:
    return y.unflatten(-1, (-1, n_heads)).permute(0, 3, 1, 2)


MULTI_HEAD = Exercise(
    id="heads/multi-head",
    title="Multi-head attention",
    answer="multi_head",
    solution=multi_head,
    cases=_multi_head_cases,
    properties=(
        has_shape("the result has the shape of x", lambda x, *_: tuple(x.shape)),
        Property(
            sentence="when the tokens come in another order, the rows of the result do too",
            test=_order_of_tokens,
            hint="a token's row may depend on the others, not on where they stand: does a reshape cut across tokens?",
        ),
        equals(
            "the result equals torch's nn.MultiheadAttention with the same matrices",
            _torchs,
            hint="compute one head by itself, from its columns of the matrices, and compare with yours",
        ),
    ),
    wrong=(
        Wrong(
            name="view without transpose",
            answer=_variant(split=_view_without_transpose, merge=_back_without_transpose),
            hint="the shapes fit and the contents do not: a reshape cuts memory in order, so your heads hold whole "
            "tokens. Split the last axis first, then move the heads",
        ),
        Wrong(
            name="view without transpose, merged with one",
            answer=_variant(split=_view_without_transpose),
            hint="merging is right, splitting is not: it should be undone by your merge. Try the pair on a tensor that "
            "counts 0, 1, 2, ...",
        ),
        Wrong(
            name="merged without transpose",
            answer=_variant(merge=_back_without_transpose),
            hint="splitting is right; on the way back the heads still stand before the tokens when you glue the last "
            "two axes",
        ),
        Wrong(
            name="no contiguous",
            answer=_variant(merge=_merge_by_view),
            hint="a transposed tensor lies in memory in its old order, and view refuses to copy: which method copies "
            "when it must?",
        ),
        Wrong(
            name="no W_O",
            answer=_variant(output=lambda y, w: y),
            hint="the heads stand side by side and have not met yet: which matrix is unused?",
        ),
        Wrong(
            name="sliced, then projected",
            answer=_slice_then_project,
            hint="each of your heads sees only its share of x; it should see the whole vector and own a share of the "
            "projection's columns",
        ),
        Wrong(
            name="scale of the model's width",
            answer=_variant(scale=lambda q, x: x.shape[-1] ** -0.5),
            hint="a score is a sum over the features of one head: the root of which width calms it?",
        ),
        Wrong(
            name="no scale",
            answer=_variant(scale=lambda q, x: 1.0),
            hint="the scores of each head grow with its width: something is missing before the softmax",
        ),
        Wrong(
            name="softmax over the queries",
            answer=_variant(axis=-2),
            hint="your columns sum to 1, your rows do not: each query distributes its own attention",
        ),
        Wrong(
            name="softmax over the heads",
            answer=_variant(axis=1),
            hint="here the heads compete for each pair of tokens; they should not know of one another before W_O",
        ),
        Wrong(
            name="features dealt out in turn",
            answer=_variant(split=_dealt_out),
            hint="a head owns neighbouring columns; yours takes every n_heads-th: in which order do the two new axes "
            "stand when you split the last one?",
        ),
        Wrong(
            name="matrices transposed",
            answer=_variant(project=lambda x, w: x @ w.T, output=lambda y, w: y @ w.T),
            hint="nn.Linear keeps its matrix transposed; here the matrices are given as in the formula, x times W",
        ),
        Wrong(
            name="W_O transposed",
            answer=_variant(output=lambda y, w: y @ w.T),
            hint="three of your four products are as in the formula: look at the last one again",
        ),
    ),
    notice="With one token or one head the forgotten transpose changes nothing, so test with more of both.",
)  # fmt: skip


def _read_shape(value: Any) -> tuple[int, int]:
    try:
        n_tokens, n_heads = (int(item) for item in value)
    except Exception:  # anything else
        raise Trouble("is no pair of sizes", "write it as (T, H)", expected="two integers", got=show(value)) from None
    if not (1 <= n_tokens <= 64 and 1 <= n_heads <= 64):
        raise Trouble("is out of range", "T counts tokens, H heads", expected="1 to 64", got=show(value))
    return n_tokens, n_heads


def _has_heads(trial: Trial) -> Mismatch | None:
    n_heads = trial.output[1]
    return None if n_heads > 1 else Mismatch("at least 2 heads", number_text(n_heads))


def _forgotten_transpose_goes_unnoticed(trial: Trial) -> Mismatch | None:
    n_tokens, n_heads = trial.output
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, n_tokens, n_heads * 3, generator=generator)
    w = torch.randn(4, n_heads * 3, n_heads * 3, generator=generator) / math.sqrt(n_heads * 3)
    wrong = _variant(split=_view_without_transpose, merge=_back_without_transpose)
    change = float((wrong(x, *w, n_heads) - multi_head(x, *w, n_heads)).abs().max())
    return None if change < 1e-5 else Mismatch("the same result", f"entries that differ by {number_text(change)}")


BREAK_VIEW = Exercise(
    id="heads/break-view",
    title="Break it: forget the transpose so that no test notices",
    answer="sizes",
    solution=(1, 4),
    takes="value",
    read=_read_shape,
    properties=(
        Property(sentence="there is more than one head", test=_has_heads, hint="with one head nothing has to be split"),
        Property(
            sentence="attention with the forgotten transpose gives the right result",
            test=_forgotten_transpose_goes_unnoticed,
            hint="in memory a token's heads lie side by side, and the tokens follow one another: when does the order "
            "of these two not matter?",
        ),
    ),
    wrong=(
        Wrong(
            name="one head",
            answer=(5, 1),
            hint="true, and a model with one head would not have split anything: find a T that works for every H",
            recognise=lambda answer: _read_shape(answer)[1] == 1,
        ),
        Wrong(
            name="as many tokens as heads",
            answer=(4, 4),
            hint="tempting: the shapes would not even tell the two axes apart. But then what should be head a of token "
            "t is head t of token a",
            recognise=lambda answer: _read_shape(answer)[0] == _read_shape(answer)[1] > 1,
        ),
        Wrong(
            name="more tokens than one",
            answer=(2, 4),
            hint="write down the memory of one row of the batch, token after token, and cut it into H equal pieces: "
            "what does each hold?",
            recognise=lambda answer: 1 < _read_shape(answer)[0] != _read_shape(answer)[1] > 1,
        ),
    ),
    notice="Generation with a cache feeds one token at a time: the fault is invisible there and ruins every prompt.",
)
