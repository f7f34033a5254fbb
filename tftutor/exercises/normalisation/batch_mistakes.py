"""More that goes wrong in a batch norm with padding, each with its hint."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Wrong


def _only_real(x: Tensor, valid: Tensor) -> Tensor:
    return x * valid[..., None].float()


def _right(x: Tensor, valid: Tensor, eps: float, correction: int = 0) -> Tensor:
    """Right at real tokens; what stands at padding is left as it comes."""
    real = x[valid]
    return (x - real.mean(0)) / (real.var(0, correction=correction) + eps).sqrt()


def _divided_by(count: Callable[[Tensor, Tensor], Tensor | int]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Sums over the real tokens, divided by `count(x, valid)`."""

    def variant(x: Tensor, valid: Tensor, eps: float) -> Tensor:
        n = count(x, valid)
        mean = _only_real(x, valid).sum((0, 1)) / n
        variance = _only_real((x - mean).square(), valid).sum((0, 1)) / n
        return _only_real((x - mean) / (variance + eps).sqrt(), valid)

    return variant


def _zeroed_first(x: Tensor, valid: Tensor, eps: float) -> Tensor:
    zeroed = _only_real(x, valid)
    return (zeroed - zeroed.mean((0, 1))) / (zeroed.var((0, 1)) + eps).sqrt()


def _mean_of_all_squares(x: Tensor, valid: Tensor, eps: float) -> Tensor:
    mean = x[valid].mean(0)
    variance = _only_real(x, valid).square().mean((0, 1)) - mean.square()
    return _only_real((x - mean) / (variance.clamp(min=0) + eps).sqrt(), valid)


def _nan_for_padding(x: Tensor, valid: Tensor, eps: float) -> Tensor:
    return torch.where(valid[..., None], _right(x, valid, eps), torch.nan)


def _row_by_row(x: Tensor, valid: Tensor, eps: float) -> Tensor:
    """Rows of one token have no unbiased variance: NaN."""
    out = torch.zeros_like(x)
    for row, keep, into in zip(x, valid, out, strict=True):
        into[keep] = (row[keep] - row[keep].mean(0)) / (row[keep].var(0) + eps).sqrt()
    return out


MORE = (
    Wrong(
        name="padding set to zero, then batch norm",
        answer=_zeroed_first,
        hint="setting padding to zero first does not take it out: its zeros are counted in the mean and in the "
        "variance, and come out as something else",
    ),
    Wrong(
        name="padding set to zero before and after",
        answer=lambda x, valid, eps: _only_real(_zeroed_first(x, valid, eps), valid),
        hint="the zeros at padding still count as tokens: they pull the mean towards 0, and x.var() sees them too",
    ),
    Wrong(
        name="batch norm of everything, then zero",
        answer=lambda x, valid, eps: _only_real((x - x.mean((0, 1))) / (x.var((0, 1)) + eps).sqrt(), valid),
        hint="valid is used for the result only; x.mean() and x.var() still run over padding",
    ),
    Wrong(
        name="padding keeps what it was",
        answer=lambda x, valid, eps: torch.where(valid[..., None], _right(x, valid, eps), x),
        hint="real tokens are right; padding is handed through as it was, and should come out as 0",
    ),
    Wrong(
        name="real tokens set to zero",
        answer=lambda x, valid, eps: _right(x, valid, eps).masked_fill(valid[..., None], 0.0),
        hint="the real tokens became 0, not the padding: True marks real tokens, and masked_fill fills at True",
    ),
    Wrong(
        name="padding left, unbiased",
        answer=lambda x, valid, eps: _right(x, valid, eps, correction=1),
        hint="two things: padding should come out as 0, and x.var() divides by one less than the number of tokens",
    ),
    Wrong(
        name="divided by the count of numbers",
        answer=_divided_by(lambda x, valid: valid.sum() * x.shape[-1]),
        hint="each feature has a sum of its own, with one term for each real token: you divide by D times as many",
    ),
    Wrong(
        name="divided by the number of rows",
        answer=_divided_by(lambda x, valid: len(x)),
        hint="you divide by B, the number of rows, while the sum has a term for every real token",
    ),
    Wrong(
        name="mean of the squares over everything",
        answer=_mean_of_all_squares,
        hint="the mean of the squares is taken over B * T numbers, the mean over the real tokens only: one count for "
        "both",
    ),
    Wrong(
        name="not centred",
        answer=lambda x, valid, eps: _only_real(x / (x[valid].var(0, correction=0) + eps).sqrt(), valid),
        hint="divided by the right number, but the mean is not subtracted",
    ),
    Wrong(
        name="unbiased variance without root",
        answer=lambda x, valid, eps: _only_real((x - x[valid].mean(0)) / (x[valid].var(0) + eps), valid),
        hint="this divides by a variance; the root is missing, and x.var() counts one token less",
    ),
    Wrong(
        name="NaN at padding",
        answer=_nan_for_padding,
        hint="at padding you hand back NaN, which spreads to whatever it is added to: put 0 there",
        recognise=lambda answer: _nan_only_at_padding(answer),
    ),
    Wrong(
        name="row by row, unbiased",
        answer=_row_by_row,
        hint="a loop over rows gives each its own statistics, and a row with one real token has no x.var(): pool "
        "the tokens of all rows",
    ),
)  # fmt: skip


def _nan_only_at_padding(answer: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    valid = torch.tensor([[True, True, False], [True, True, True]])
    x = torch.arange(12.0).view(2, 3, 2).sin()
    return bool(torch.equal(answer(x, valid, 0.1).isnan().any(-1), ~valid))
