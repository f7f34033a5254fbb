"""Exercise: multi-head attention from four matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, has_shape, named_case
from tftutor.exercises.heads.layers import (
    back_without_transpose,
    collected,
    dealt_out,
    future_hidden,
    merge_by_view,
    multi_head,
    one_wide_head,
    slice_then_project,
    variant,
    view_attention,
    view_without_transpose,
    with_matrices,
)
from tftutor.exercises.values import number_text


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
            answer=view_attention,
            hint="the shapes fit and the contents do not: a reshape cuts memory in order, so your heads hold whole "
            "tokens. Split the last axis first, then move the heads",
        ),
        Wrong(
            name="view without transpose, merged with one",
            answer=variant(split=view_without_transpose),
            hint="merging is right, splitting is not: it should be undone by your merge. Try the pair on a tensor that "
            "counts 0, 1, 2, ...",
        ),
        Wrong(
            name="merged without transpose",
            answer=variant(merge=back_without_transpose),
            hint="splitting is right; on the way back the heads still stand before the tokens when you glue the last "
            "two axes",
        ),
        Wrong(
            name="no contiguous",
            answer=variant(merge=merge_by_view),
            hint="a transposed tensor lies in memory in its old order, and view refuses to copy: which method copies "
            "when it must?",
        ),
        Wrong(
            name="no W_O",
            answer=variant(output=lambda y, w: y),
            hint="the heads stand side by side and have not met yet: which matrix is unused?",
        ),
        Wrong(
            name="sliced, then projected",
            answer=slice_then_project,
            hint="each of your heads sees only its share of x; it should see the whole vector and own a share of the "
            "projection's columns",
        ),
        Wrong(
            name="scale of the model's width",
            answer=variant(scale=lambda q, x: x.shape[-1] ** -0.5),
            hint="a score is a sum over the features of one head: the root of which width calms it?",
        ),
        Wrong(
            name="no scale",
            answer=variant(scale=lambda q, x: 1.0),
            hint="the scores of each head grow with its width: something is missing before the softmax",
        ),
        Wrong(
            name="scale without the root",
            answer=variant(scale=lambda q, x: 1 / q.shape[-1]),
            hint="the right width, but the spread of a sum grows like its root",
        ),
        Wrong(
            name="multiplied by the root",
            answer=variant(scale=lambda q, x: q.shape[-1] ** 0.5),
            hint="the factor makes scores larger here: multiply, or divide?",
        ),
        Wrong(
            name="scale of the number of heads",
            answer=variant(scale=lambda q, x: q.shape[1] ** -0.5),
            hint="you divide by the root of the number of heads; a score adds up something else",
        ),
        Wrong(
            name="scale of the number of tokens",
            answer=variant(scale=lambda q, x: q.shape[2] ** -0.5),
            hint="you divide by the root of the number of tokens; a score is a sum over features, not over tokens",
        ),
        Wrong(
            name="one wide head",
            answer=one_wide_head(by_head=False),
            hint="this is a single head as wide as the model: nothing is split anywhere",
        ),
        Wrong(
            name="one wide head, scale of a narrow one",
            answer=one_wide_head(by_head=True),
            hint="the scale knows about heads and the rest does not: one table of weights serves all features",
        ),
        Wrong(
            name="heads attend to one another",
            answer=variant(split=lambda y, h: y.unflatten(-1, (h, -1)), merge=lambda heads: heads.flatten(2)),
            hint="split and never moved: the product of queries and keys pairs the heads of one token, and no token "
            "sees another. Which axis has to stand before the features?",
        ),
        Wrong(
            name="not merged",
            answer=variant(merge=lambda heads: heads, output=lambda y, w: y),
            hint="these are the heads' results, each for itself: put them side by side, and let them meet in W_O",
        ),
        Wrong(
            name="heads averaged",
            answer=lambda x, w_q, w_k, w_v, w_o, n_heads: (
                variant(merge=lambda heads: heads.mean(dim=1).repeat(1, 1, n_heads))(x, w_q, w_k, w_v, w_o, n_heads)
            ),
            hint="the heads stand side by side; an average would forget which of them said what",
        ),
        Wrong(
            name="features merged in turn",
            answer=variant(merge=collected),
            hint="splitting is right; merged, the features of the heads alternate, where each head should keep its own "
            "together",
        ),
        Wrong(
            name="features dealt out and collected in turn",
            answer=variant(split=dealt_out, merge=collected),
            hint="splitting and merging fit each other, but head 0 owns the first columns, not every n_heads-th",
        ),
        Wrong(
            name="no softmax",
            answer=variant(softmax=lambda s: s),
            hint="raw scores mix the values here: they are neither positive nor do they sum to 1",
        ),
        Wrong(
            name="future hidden",
            answer=future_hidden,
            hint="there is no mask in this exercise: every token may look at every other one",
        ),
        Wrong(
            name="queries and keys exchanged",
            answer=with_matrices(lambda q, k, v, o: (k, q, v, o)),
            hint="which of the two asks? rows of the scores belong to queries",
        ),
        Wrong(
            name="keys as values",
            answer=with_matrices(lambda q, k, v, o: (q, k, k, o)),
            hint="one of the four matrices is unused: what is mixed are the values",
        ),
        Wrong(
            name="queries as keys",
            answer=with_matrices(lambda q, k, v, o: (q, q, v, o)),
            hint="one of the four matrices is unused: every token's key is its query here",
        ),
        Wrong(
            name="tokens as values",
            answer=with_matrices(lambda q, k, v, o: (q, k, torch.eye(len(v)), o)),
            hint="the tokens themselves are mixed: they have to be projected first, a third time",
        ),
        Wrong(
            name="input added",
            answer=lambda x, *rest: x + multi_head(x, *rest),
            hint="the addition of x belongs to the block around this layer",
        ),
        Wrong(
            name="softmax over the queries",
            answer=variant(softmax=lambda s: s.softmax(dim=-2)),
            hint="your columns sum to 1, your rows do not: each query distributes its own attention",
        ),
        Wrong(
            name="softmax over the heads",
            answer=variant(softmax=lambda s: s.softmax(dim=1)),
            hint="here the heads compete for each pair of tokens; they should not know of one another before W_O",
        ),
        Wrong(
            name="features dealt out in turn",
            answer=variant(split=dealt_out),
            hint="a head owns neighbouring columns; yours takes every n_heads-th: in which order do the two new axes "
            "stand when you split the last one?",
        ),
        Wrong(
            name="matrices transposed",
            answer=variant(project=lambda x, w: x @ w.T, output=lambda y, w: y @ w.T),
            hint="nn.Linear keeps its matrix transposed; here the matrices are given as in the formula, x times W",
        ),
        Wrong(
            name="W_Q, W_K, W_V transposed",
            answer=with_matrices(lambda q, k, v, o: (q.T, k.T, v.T, o)),
            hint="three of your four products take the matrix's rows where the formula takes its columns: x times W",
        ),
        Wrong(
            name="W_O transposed",
            answer=variant(output=lambda y, w: y @ w.T),
            hint="three of your four products are as in the formula: look at the last one again",
        ),
    ),
    notice="With one token or one head the forgotten transpose changes nothing, so test with more of both.",
)  # fmt: skip
