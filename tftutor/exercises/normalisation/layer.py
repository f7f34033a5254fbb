"""Exercise: layer norm from its formula."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
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
from tftutor.exercises.normalisation.layer_mistakes import MORE, shares


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, for each token.

    x: (B, T, D).  weight, bias: (D,).  eps: a small positive number.
    Returns (B, T, D).
    """
    mean = x.mean(dim=-1, keepdim=True)
    variance = (x - mean).pow(2).mean(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


def _truth(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(b: int, t: int, d: int, eps: float, shift: float = 0.0) -> Case:
        x, weight, bias = (torch.randn(shape, generator=generator) for shape in ((b, t, d), (d,), (d,)))
        return named_case(x=x + shift, weight=weight, bias=bias, eps=eps)

    cases = [draw(2, 3, 4, 0.5), draw(1, 2, 3, 0.1), draw(2, 1, 5, 1.0), draw(5, 2, 3, 0.3, shift=4.0)]
    cases += [draw(*distinct_sizes(generator, 3, 2, 9), 0.2) for _ in range(3)]
    return [*cases, draw(4, 4, 4, 0.5)]


def _no_token_moves_another(trial: Trial) -> Mismatch | None:
    x, weight, bias, eps = trial.args
    if x.shape[0] * x.shape[1] == 1:
        return None
    other = x.clone()
    other[-1, -1] = 10 * other[-1, -1] + 1
    change = (trial.call(other, weight, bias, eps) - trial.output)[0, 0].abs().max().item()
    if change < 1e-4:
        return None
    return Mismatch("the first token's output as before when the last token changes", f"it moved by {change:.2g}")


def _variant(
    *, over: tuple[int, ...] = (-1,), correction: int = 0, centre: bool = True,
    root: Callable[[Tensor, float], Tensor] = lambda v, eps: torch.sqrt(v + eps),
    affine: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda y, w, b: y * w + b,
) -> Callable[[Tensor, Tensor, Tensor, float], Tensor]:  # fmt: skip
    """Layer norm with one of its steps replaced."""

    def variant(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        variance, mean = torch.var_mean(x, dim=over, correction=correction, keepdim=True)
        return affine((x - mean if centre else x) / root(variance, eps), weight, bias)

    return variant


LAYER_NORM = Exercise(
    id="norms/layer-norm",
    title="Layer norm from scratch",
    answer="layer_norm",
    solution=layer_norm,
    cases=_cases,
    properties=(
        has_shape("the shape stays as it was", lambda x, *_: x.shape),
        Property(
            sentence="no token moves another",
            test=_no_token_moves_another,
            hint="each token has a mean and a variance of its own: along which axis of (B, T, D) are its numbers?",
        ),
        equals(
            "the result equals torch's layer_norm",
            _truth,
            hint="take one token of two features and do it by hand: mean, variance, root, weight, bias, in this order",
        ),
    ),
    wrong=(
        Wrong(
            name="unbiased variance",
            answer=_variant(correction=1),
            hint="torch's x.var() and x.std() divide by D - 1 unless told otherwise; this formula takes the plain "
            "mean of the squares",
        ),
        Wrong(
            name="eps outside the root",
            answer=_variant(root=lambda v, eps: v.sqrt() + eps),
            hint="eps is added to the variance, not to the standard deviation: which comes first, the sum or the root?",
        ),
        Wrong(
            name="unbiased standard deviation plus eps",
            answer=_variant(correction=1, root=lambda v, eps: v.sqrt() + eps),
            hint="x.std() + eps differs in two ways: it divides by D - 1, and eps comes after the root",
        ),
        Wrong(
            name="eps squared in the root",
            answer=_variant(root=lambda v, eps: torch.sqrt(v + eps**2)),
            hint="eps is added to the variance as it is, not squared",
        ),
        Wrong(
            name="no eps",
            answer=_variant(root=lambda v, eps: v.sqrt()),
            hint="the eps that comes as an argument is not used: what happens to a token whose features are all equal?",
        ),
        Wrong(
            name="no root",
            answer=_variant(root=lambda v, eps: v + eps),
            hint="divided by the variance, features come out in the wrong unit: something is missing around the sum",
        ),
        Wrong(
            name="over the tokens of a row",
            answer=_variant(over=(1,)),
            recognise=shares("T"),
            hint="your mean runs over the tokens of a sequence, one for each feature; wanted is one for each token",
        ),
        Wrong(
            name="over tokens and features",
            answer=_variant(over=(1, 2)),
            recognise=shares("TD"),
            hint="one mean for a whole sequence lets its tokens move one another: per token, over the features only",
        ),
        Wrong(
            name="over the batch",
            answer=_variant(over=(0,)),
            recognise=shares("B"),
            hint="your mean runs over the rows of the batch: a sequence's result then depends on its neighbours",
        ),
        Wrong(
            name="batch norm",
            answer=_variant(over=(0, 1)),
            recognise=shares("BT"),
            hint="one mean per feature over all tokens is batch norm: turn it round, one mean per token over all "
            "features",
        ),
        Wrong(
            name="over everything",
            answer=_variant(over=(0, 1, 2)),
            recognise=shares("BTD"),
            hint="x.mean() without an axis is one number for the whole batch: each token needs its own",
        ),
        Wrong(
            name="not centred",
            answer=_variant(centre=False),
            hint="the features are scaled but not shifted: the mean of a token should come out as 0 before weight and "
            "bias",
        ),
        Wrong(
            name="RMSNorm",
            answer=lambda x, w, b, eps: x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * w + b,
            hint="dividing by the root of the mean square without subtracting the mean is RMSNorm",
        ),
        Wrong(
            name="centred, then the mean square of the uncentred",
            answer=lambda x, w, b, eps: (
                (x - x.mean(-1, keepdim=True)) / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * w + b
            ),
            hint="the mean is gone from the numerator, but the denominator still holds it: a variance is the mean "
            "square of what is left after centring",
        ),
        Wrong(
            name="no weight and bias",
            answer=_variant(affine=lambda y, w, b: y),
            hint="the numbers come out normalised, but weight and bias are not used",
        ),
        Wrong(
            name="no bias",
            answer=_variant(affine=lambda y, w, b: y * w),
            hint="everything is right but for the bias, which is not used",
        ),
        Wrong(
            name="no weight",
            answer=_variant(affine=lambda y, w, b: y + b),
            hint="everything is right but for the weight, which is not used",
        ),
        Wrong(
            name="bias before weight",
            answer=_variant(affine=lambda y, w, b: (y + b) * w),
            hint="first scale, then shift: the weight must not multiply the bias",
        ),
        Wrong(
            name="one plus the weight",
            answer=_variant(affine=lambda y, w, b: y * (1 + w) + b),
            hint="some models store weight - 1; here the weight is the factor itself",
        ),
        Wrong(
            name="axis lost",
            answer=lambda x, w, b, eps: (x - x.mean(-1)) / (x.var(-1, correction=0) + eps).sqrt() * w + b,
            hint="x.mean(-1) has shape (B, T) and is laid out along other axes when you subtract it: keep its axis",
        ),
        Wrong(
            name="only divided by the length of the vector",
            answer=lambda x, w, b, eps: F.normalize(x - x.mean(-1, keepdim=True), dim=-1) * w + b,
            hint="the length of a vector grows with D; divide by the root of the *mean* of its squares",
        ),
        Wrong(
            name="mean and variance over the last two axes, one after the other",
            answer=lambda x, w, b, eps: (
                (x - x.mean(-1, keepdim=True)) / (x.var((1, 2), correction=0, keepdim=True) + eps).sqrt() * w + b
            ),
            hint="the mean is per token, the variance is not: both run over the same axis",
        ),
        Wrong(
            name="unbiased, no eps",
            answer=_variant(correction=1, root=lambda v, eps: v.sqrt()),
            hint="two things: x.std() divides by D - 1 unless told otherwise, and eps is not used",
        ),
        Wrong(
            name="variance without root and eps",
            answer=_variant(root=lambda v, eps: v),
            hint="divided by the variance itself: both eps and the root are missing",
        ),
        Wrong(
            name="unbiased variance without root and eps",
            answer=_variant(correction=1, root=lambda v, eps: v),
            hint="a variance has the unit of a square, so the root of it is missing; so is eps; and x.var() "
            "divides by D - 1",
        ),
        Wrong(
            name="unbiased over tokens and features",
            answer=_variant(over=(1, 2), correction=1),
            hint="one mean and variance for a whole sequence: its tokens move one another. Each token has its own",
        ),
        Wrong(
            name="unbiased over everything",
            answer=_variant(over=(0, 1, 2), correction=1),
            hint="x.mean() and x.var() without an axis make one pair of numbers for the whole batch: each "
            "token needs its own",
        ),
        Wrong(
            name="everything, unbiased, eps outside",
            answer=_variant(over=(0, 1, 2), correction=1, root=lambda v, eps: v.sqrt() + eps),
            hint="x.mean() and x.std() without an axis make one pair of numbers for all: each token needs its "
            "own; then see where eps belongs",
        ),
        Wrong(
            name="two roots",
            answer=_variant(root=lambda v, eps: v.sqrt() + eps**0.5),
            hint="a root of a sum is not the sum of the roots: add eps first",
        ),
        Wrong(
            name="weight plus bias",
            answer=_variant(affine=lambda y, w, b: y * (w + b)),
            hint="the bias is added to the result, not to the weight: mind the brackets",
        ),
        Wrong(
            name="brackets missing",
            answer=lambda x, w, b, eps: (
                x - x.mean(-1, keepdim=True) / (x.var(-1, correction=0, keepdim=True) + eps).sqrt() * w + b
            ),
            hint="a division binds tighter than a subtraction: here only the mean is divided",
        ),
        Wrong(
            name="signs turned round",
            answer=lambda x, w, b, eps: _truth(-x, w, b, eps),
            hint="the signs are turned round: the mean is subtracted from x, not x from the mean",
        ),
        *MORE,
    ),
    notice="A mean and a variance per token, whoever stands beside it: so there is nothing to remember for evaluation.",
)
