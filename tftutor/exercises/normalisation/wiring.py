"""Exercise: the two places of the norm around a sub-layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals
from tftutor.norms import normalise


def add_and_norm(
    x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: Callable[[Tensor], Tensor], order: str
) -> Tensor:
    """One sub-layer with its residual connection and its norm.

    x: (B, T, D).  sublayer, norm: functions from (B, T, D) to (B, T, D).
    order: "pre" normalises what enters the sub-layer, "post" what the
    addition gives.
    Returns (B, T, D).
    """
    if order == "pre":
        return x + sublayer(norm(x))
    return norm(x + sublayer(x))


def _norm(x: Tensor) -> Tensor:
    return normalise(x, (-1,))


def _silent(x: Tensor) -> Tensor:
    """A sub-layer that says nothing."""
    return torch.zeros_like(x)


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for i, order in enumerate(("pre", "post", "pre", "post", "pre", "post")):
        b, t, d = ((2, 3, 4), (3, 2, 5), (4, 5, 3))[i // 2]
        matrix = torch.randn(d, d, generator=generator)
        sublayer = _silent if i < 2 else (lambda x, m=matrix: torch.tanh(x @ m + 1))
        x = 3 * torch.randn(b, t, d, generator=generator) + 1
        what = "a sub-layer that returns zeros" if i < 2 else "a small sub-layer"
        cases.append(Case((x, sublayer, _norm, order), f'x {(b, t, d)}, {what}, order = "{order}"'))
    return cases


def _silent_shows_the_path(trial: Trial) -> Mismatch | None:
    x, _, norm, order = trial.args
    return compare(x if order == "pre" else norm(x), trial.call(x, _silent, norm, order))


def _swap(order: str) -> str:
    return "post" if order == "pre" else "pre"


def _pair(pre: Callable[..., Tensor], post: Callable[..., Tensor]) -> Callable[[Tensor, Any, Any, str], Tensor]:
    return lambda x, f, n, order: (pre if order == "pre" else post)(x, f, n)


def _pre(x: Tensor, f: Any, n: Any) -> Tensor:
    return x + f(n(x))


def _post(x: Tensor, f: Any, n: Any) -> Tensor:
    return n(x + f(x))


WIRE = Exercise(
    id="norms/wire",
    title="Pre-norm and post-norm from one specification",
    answer="add_and_norm",
    solution=add_and_norm,
    cases=_cases,
    properties=(
        Property(
            sentence="a sub-layer that returns zeros leaves x (pre-norm) or norm(x) (post-norm)",
            test=_silent_shows_the_path,
            hint="follow x past the silent sub-layer: what stands on that path in pre-norm, and what in post-norm?",
        ),
        equals(
            "the result is right",
            add_and_norm,
            hint="the path past the sub-layer is right; now follow x through it: is what enters normalised or not?",
        ),
    ),
    wrong=(
        Wrong(
            name="swapped",
            answer=lambda x, f, n, order: add_and_norm(x, f, n, _swap(order)),
            hint="pre and post are swapped: the name says where the norm stands, before the sub-layer or after the "
            "addition",
        ),
        Wrong(
            name="always pre-norm",
            answer=lambda x, f, n, order: _pre(x, f, n),
            hint="order is not used: this is pre-norm both times",
        ),
        Wrong(
            name="always post-norm",
            answer=lambda x, f, n, order: _post(x, f, n),
            hint="order is not used: this is post-norm both times",
        ),
        Wrong(
            name="pre-norm adds the normalised x",
            answer=_pair(lambda x, f, n: n(x) + f(n(x)), _post),
            hint="in pre-norm the residual path must stay bare: what is added is x itself, not its norm",
        ),
        Wrong(
            name="x = norm(x) first",
            answer=lambda x, f, n, order: n(x) + f(n(x)) if order == "pre" else n(n(x) + f(n(x))),
            hint="by overwriting x with its norm you lose the stream that has to be added at the end",
        ),
        Wrong(
            name="pre-norm with a norm at the end as well",
            answer=_pair(lambda x, f, n: n(x + f(n(x))), _post),
            hint="pre-norm has one norm per sub-layer, at its entrance: the sum is not normalised",
        ),
        Wrong(
            name="post-norm on the branch",
            answer=_pair(_pre, lambda x, f, n: x + n(f(x))),
            hint="in post-norm the norm follows the addition; here it normalises the branch alone and the stream stays "
            "bare",
        ),
        Wrong(
            name="post-norm with a norm at the entrance as well",
            answer=_pair(_pre, lambda x, f, n: n(x + f(n(x)))),
            hint="in post-norm the sub-layer reads x as it comes: one norm only, after the addition",
        ),
        Wrong(
            name="the sum in the sub-layer",
            answer=_pair(lambda x, f, n: f(x + n(x)), _post),
            hint="in pre-norm x is added to what the sub-layer returns, not to what it gets",
        ),
        Wrong(
            name="no residual",
            answer=_pair(lambda x, f, n: f(n(x)), lambda x, f, n: n(f(x))),
            hint="with a silent sub-layer nothing is left of x: where is the residual connection?",
        ),
        Wrong(
            name="no residual in pre-norm",
            answer=_pair(lambda x, f, n: f(n(x)), _post),
            hint="in pre-norm a silent sub-layer leaves nothing of x: what has to be added?",
        ),
        Wrong(
            name="no residual in post-norm",
            answer=_pair(_pre, lambda x, f, n: n(f(x))),
            hint="in post-norm a silent sub-layer leaves nothing of x: add before you normalise",
        ),
        Wrong(
            name="no norm in pre-norm",
            answer=_pair(lambda x, f, n: x + f(x), _post),
            hint="in pre-norm the sub-layer gets x as it is: the norm is missing at its entrance",
        ),
        Wrong(
            name="no norm in post-norm",
            answer=_pair(_pre, lambda x, f, n: x + f(x)),
            hint="in post-norm the sum leaves without a norm",
        ),
        Wrong(
            name="norm after the sub-layer instead of before",
            answer=_pair(lambda x, f, n: x + n(f(x)), _post),
            hint="pre means before: the norm stands in front of the sub-layer, here it follows it",
        ),
        Wrong(
            name="norm of the residual path in post-norm",
            answer=_pair(_pre, lambda x, f, n: n(x) + f(x)),
            hint="in post-norm the sum is normalised as a whole, not one of its terms",
        ),
        Wrong(
            name="one order only: post missing",
            answer=lambda x, f, n, order: _pre(x, f, n) if order == "pre" else x,
            hint='with order = "post" x comes back untouched: that case is missing',
        ),
        Wrong(
            name="no norm at all",
            answer=lambda x, f, n, order: x + f(x),
            hint="a residual connection without any norm: both orders use it once",
        ),
        Wrong(
            name="pre-norm on the other path",
            answer=_pair(lambda x, f, n: n(x) + f(x), _post),
            hint="the norm stands on the wrong path: the sub-layer should read the normalised x, and x itself "
            "is added",
        ),
        Wrong(
            name="the norm of x added in post-norm",
            answer=_pair(_pre, lambda x, f, n: n(x) + f(n(x))),
            hint="in post-norm the addition comes first, of x and what the sub-layer made of x; then one norm "
            "of the sum",
        ),
        Wrong(
            name="pre-norm with a norm of the branch",
            answer=_pair(lambda x, f, n: x + n(f(n(x))), _post),
            hint="a norm on both sides of the sub-layer is the sandwich; pre-norm has only the first",
        ),
        Wrong(
            name="terms normalised one by one",
            answer=_pair(lambda x, f, n: n(x) + f(n(x)), lambda x, f, n: n(x) + f(x)),
            hint="both orders normalise the residual path by itself: pre-norm leaves it bare, post-norm "
            "normalises the sum",
        ),
        Wrong(
            name="post-norm added once more",
            answer=_pair(_pre, lambda x, f, n: x + n(x + f(x))),
            hint="in post-norm what the norm returns is the result: x is in it already",
        ),
        Wrong(
            name="each term of the sum normalised",
            answer=_pair(_pre, lambda x, f, n: n(x) + n(f(x))),
            hint="in post-norm there is one norm, around the sum; the norm of a sum is not the sum of the norms",
        ),
        Wrong(
            name="norm before and after in both orders",
            answer=lambda x, f, n, order: n(x + f(n(x))),
            hint="order is not used, and there are two norms each time: pre-norm keeps the first, post-norm the second",
        ),
        Wrong(
            name="both paths normalised, post-norm on the branch",
            answer=_pair(lambda x, f, n: n(x) + f(n(x)), lambda x, f, n: x + n(f(x))),
            hint="in pre-norm what is added is the bare x; in post-norm the norm goes around the whole sum",
        ),
        Wrong(
            name="before and after taken as inside and outside",
            answer=_pair(lambda x, f, n: x + n(f(x)), lambda x, f, n: x + f(n(x))),
            hint="n(f(x)) applies the sub-layer first: read calls from the inside out",
        ),
        Wrong(
            name="norm after the sub-layer in both orders",
            answer=lambda x, f, n, order: x + n(f(x)),
            hint="order is not used; and the norm of the branch alone is neither pre-norm nor post-norm",
        ),
        Wrong(
            name="no residual, and swapped",
            answer=_pair(lambda x, f, n: n(f(x)), lambda x, f, n: f(n(x))),
            hint="nothing is added to x, and the two orders are exchanged",
        ),
        Wrong(
            name="no residual in post-norm, norm first",
            answer=_pair(_pre, lambda x, f, n: f(n(x))),
            hint="in post-norm nothing is added, and the norm comes first: add x, then normalise",
        ),
        Wrong(
            name="branches normalised once more",
            answer=_pair(lambda x, f, n: x + n(f(n(x))), lambda x, f, n: n(x + n(f(x)))),
            hint="what the sub-layer returns is added as it comes, in both orders: one norm too many",
        ),
        Wrong(
            name="subtracted",
            answer=_pair(lambda x, f, n: x - f(n(x)), lambda x, f, n: n(x - f(x))),
            hint="the branch is subtracted; a residual connection adds it",
        ),
        Wrong(
            name="multiplied",
            answer=_pair(lambda x, f, n: x * f(n(x)), lambda x, f, n: n(x * f(x))),
            hint="the branch multiplies the stream, so a silent sub-layer wipes it out: add",
        ),
    ),
    notice="A silent sub-layer turns a pre-norm block into the identity, at any depth; a post-norm block still "
    "normalises.",
)  # fmt: skip
