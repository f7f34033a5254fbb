"""More that goes wrong in a layer norm, each with its hint; and a way to see which numbers an answer takes together."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Wrong
from tftutor.exercises.normalisation.axes import shared_axes

Answer = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def shares(axes: str) -> Callable[[Answer], bool]:
    """Recognises answers whose statistics run over just these of the axes "BTD", whatever else is wrong with them."""

    def recognise(answer: Answer) -> bool:
        x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
        return shared_axes(lambda y: answer(y.clone(), torch.ones(5), torch.zeros(5), 0.1), x) == axes

    return recognise


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


def _spread(x: Tensor, correction: int = 0) -> Tensor:
    return x.var(-1, correction=correction, keepdim=True)


MORE = (
    Wrong(
        name="one position after the other",
        answer=lambda x, w, b, eps: (
            (x - x.mean((0, 2), keepdim=True)) / (x.var((0, 2), correction=0, keepdim=True) + eps).sqrt() * w + b
        ),
        recognise=shares("BD"),
        hint="x[:, t] holds the t-th token of every sequence: a mean without an axis takes them together",
    ),
    Wrong(
        name="mean of absolute deviations",
        answer=lambda x, w, b, eps: _centred(x) / (_centred(x).abs().mean(-1, keepdim=True) + eps) * w + b,
        hint="a mean of absolute deviations is no standard deviation: square, take the mean, then the root",
    ),
    Wrong(
        name="sum of squares",
        answer=lambda x, w, b, eps: _centred(x) / (_centred(x).pow(2).sum(-1, keepdim=True) + eps).sqrt() * w + b,
        hint="the variance is the mean of the squared deviations; yours is their sum",
    ),
    Wrong(
        name="length of the vector plus eps",
        answer=lambda x, w, b, eps: _centred(x) / (_centred(x).norm(dim=-1, keepdim=True) + eps) * w + b,
        hint="norm() gives the length, the root of a *sum* of squares, which grows with D; and eps comes too late",
    ),
    Wrong(
        name="multiplied by the standard deviation",
        answer=lambda x, w, b, eps: _centred(x) * (_spread(x) + eps).sqrt() * w + b,
        hint="a token with a large spread should become smaller, not larger: multiplied where it should be divided",
    ),
    Wrong(
        name="root mean square of the uncentred plus eps",
        answer=lambda x, w, b, eps: _centred(x) / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps) * w + b,
        hint="the squares in the denominator are those of x, with its mean still in them; and where does eps go?",
    ),
    Wrong(
        name="eps fixed",
        answer=lambda x, w, b, eps: F.layer_norm(x, x.shape[-1:], w, b),
        hint="a fixed eps, such as 1e-5, stands where the argument belongs",
    ),
    Wrong(
        name="square of the mean deviation",
        answer=lambda x, w, b, eps: _centred(x) / (_centred(x).mean(-1, keepdim=True) ** 2 + eps).sqrt() * w + b,
        hint="deviations from the mean add up to 0, so their mean says nothing: square each of them first",
    ),
    Wrong(
        name="bias before the division",
        answer=lambda x, w, b, eps: (_centred(x) + b) / (_spread(x) + eps).sqrt() * w,
        hint="the bias is divided and scaled together with x: it is added at the very end",
    ),
    Wrong(
        name="divided by the weight",
        answer=lambda x, w, b, eps: _centred(x) / ((_spread(x) + eps).sqrt() * w) + b,
        hint="brackets: the weight stands in the denominator",
    ),
    Wrong(
        name="bias subtracted",
        answer=lambda x, w, b, eps: F.layer_norm(x, x.shape[-1:], w, -b, eps),
        hint="the sign of the bias is turned round",
    ),
    Wrong(
        name="divided by the range",
        answer=lambda x, w, b, eps: (
            _centred(x) / (x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True) + eps) * w + b
        ),
        hint="largest minus smallest is the range, not the standard deviation",
    ),
    Wrong(
        name="not centred, unbiased",
        answer=lambda x, w, b, eps: x / (_spread(x, 1) + eps).sqrt() * w + b,
        hint="the mean is not subtracted from the features; and x.var() divides by D - 1",
    ),
    Wrong(
        name="no root, unbiased",
        answer=lambda x, w, b, eps: _centred(x) / (_spread(x, 1) + eps) * w + b,
        hint="divided by a variance: the root is missing, and x.var() divides by D - 1",
    ),
    Wrong(
        name="unbiased, no weight and bias",
        answer=lambda x, w, b, eps: _centred(x) / (_spread(x, 1) + eps).sqrt(),
        hint="weight and bias are still to come; and x.var() divides by D - 1 unless told otherwise",
    ),
    Wrong(
        name="unbiased, no bias",
        answer=lambda x, w, b, eps: _centred(x) / (_spread(x, 1) + eps).sqrt() * w,
        hint="the bias is still to come; and x.var() divides by D - 1 unless told otherwise",
    ),
    Wrong(
        name="standard deviation plus eps, no weight and bias",
        answer=lambda x, w, b, eps: _centred(x) / (_spread(x, 1).sqrt() + eps),
        hint="weight and bias are not used; and x.std() + eps divides by D - 1 and adds eps after the root",
    ),
)  # fmt: skip
