"""Exercise: batch norm that leaves padding out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, has_shape
from tftutor.exercises.normalisation.batch_mistakes import MORE


def masked_batch_norm(x: Tensor, valid: Tensor, eps: float) -> Tensor:
    """Batch norm in training mode, with statistics of the real tokens only.

    x: (B, T, D).  valid: bool (B, T), True = a real token.
    eps: a small positive number, added to the variance.
    Returns (B, T, D): each feature has mean 0 and variance 1 (nearly, because
    of eps) over the real tokens; padding comes out as 0.
    """
    real = x[valid]
    mean = real.mean(dim=0)
    variance = (real - mean).pow(2).mean(dim=0)
    y = (x - mean) / torch.sqrt(variance + eps)
    return torch.where(valid[..., None], y, 0.0)


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(lengths: tuple[int, ...], d: int, eps: float, shift: float = 2.0) -> Case:
        valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        x = torch.randn(*valid.shape, d, generator=generator) + shift
        return Case((x, valid, eps), f"x {tuple(x.shape)}, rows of {', '.join(map(str, lengths))} tokens, eps = {eps}")

    return [draw((2, 1), 3, 0.1), draw((5, 2, 4), 2, 0.3), draw((1, 6), 4, 0.2, -3.0), draw((3, 3), 5, 0.5),
            draw((4, 7, 1, 2, 5), 6, 0.1)]  # fmt: skip


def _padding_does_not_count(trial: Trial) -> Mismatch | None:
    x, valid, eps = trial.args
    other = torch.where(valid[..., None], x, -50.0)
    moved = (trial.call(other, valid, eps) - trial.output)[valid].abs().max().item()
    if moved < 1e-4:
        return None
    return Mismatch("real tokens as before when padding changes", f"one of them moved by {moved:.2g}")


def _mean_is_zero(trial: Trial) -> Mismatch | None:
    _, valid, _ = trial.args
    return compare(torch.zeros(trial.output.shape[-1]), trial.output[valid].mean(dim=0))


def _padding_is_zero(trial: Trial) -> Mismatch | None:
    _, valid, _ = trial.args
    padding = trial.output[~valid]
    return compare(torch.zeros_like(padding), padding)


def _statistics(
    take: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], *, root: Callable[[Tensor, float], Tensor] | None = None,
    zero: bool = True,
) -> Callable[[Tensor, Tensor, float], Tensor]:  # fmt: skip
    """Batch norm with mean and variance from `take(x, valid)`."""

    def variant(x: Tensor, valid: Tensor, eps: float) -> Tensor:
        mean, variance = take(x, valid)
        y = (x - mean) / (torch.sqrt(variance + eps) if root is None else root(variance, eps))
        return torch.where(valid[..., None], y, 0.0) if zero else y

    return variant


def _of(x: Tensor, correction: int = 0, axis: int | tuple[int, ...] = 0) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x, dim=axis, correction=correction, keepdim=isinstance(axis, tuple))
    return mean, variance


def _weights(valid: Tensor) -> Tensor:
    return valid[..., None].float()


def _zeros_counted(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return _of((x * _weights(valid)).flatten(0, 1))


def _sum_over_all(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of real tokens, divided by the number of all."""
    w, n = _weights(valid), valid.numel()
    mean = (x * w).sum((0, 1)) / n
    return mean, ((x - mean).square() * w).sum((0, 1)) / n


def _variance_of_all(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    mean = x[valid].mean(0)
    return mean, (x - mean).square().mean((0, 1))


def _mean_of_all(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean((0, 1)), _of(x[valid])[1]


def _variance_of_zeroed(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The right mean; deviations of padding counted as those of zeros."""
    mean = x[valid].mean(0)
    return mean, (x * _weights(valid) - mean).square().sum((0, 1)) / valid.sum()


def _mean_of_means(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    w = _weights(valid)
    mean = ((x * w).sum(1) / w.sum(1)).mean(0)
    return mean, (((x - mean).square() * w).sum(1) / w.sum(1)).mean(0)


def _per_row(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    w = _weights(valid)
    mean = (x * w).sum(1, keepdim=True) / w.sum(1, keepdim=True)
    return mean, ((x - mean).square() * w).sum(1, keepdim=True) / w.sum(1, keepdim=True)


def _per_position(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    w = _weights(valid)
    mean = (x * w).sum(0) / w.sum(0)
    return mean, ((x - mean).square() * w).sum(0) / w.sum(0)


def _one_for_all_features(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return x[valid].mean(), x[valid].var(correction=0)


def _mean_square(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return x[valid].mean(0), x[valid].square().mean(0)


MASKED_BATCH_NORM = Exercise(
    id="norms/masked-batch-norm",
    title="Batch norm that ignores padding",
    answer="masked_batch_norm",
    solution=masked_batch_norm,
    cases=_cases,
    properties=(
        has_shape("the shape stays as it was", lambda x, *_: x.shape),
        Property(
            sentence="what stands at padding does not move real tokens",
            test=_padding_does_not_count,
            hint="both the mean and the variance have to leave padding out",
        ),
        Property(
            sentence="each feature has mean 0 over the real tokens of the whole batch",
            test=_mean_is_zero,
            hint="add up the real tokens of all rows; what do you divide by?",
        ),
        Property(
            sentence="padding comes out as 0",
            test=_padding_is_zero,
            hint="the last step: at padding the result is 0, whatever stood there",
        ),
        equals(
            "the result is right everywhere",
            masked_batch_norm,
            hint="the mean is right; check the variance by hand for one feature and two tokens, and where eps goes",
        ),
    ),
    wrong=(
        Wrong(
            name="no mask",
            answer=_statistics(lambda x, valid: _of(x.flatten(0, 1))),
            hint="valid is used for the output at most: padding still takes part in the statistics",
        ),
        Wrong(
            name="no mask at all",
            answer=_statistics(lambda x, valid: _of(x.flatten(0, 1)), zero=False),
            hint="valid is not used: it decides which tokens count in the statistics, and what padding comes out as",
        ),
        Wrong(
            name="padding counted as zeros",
            answer=_statistics(_zeros_counted),
            hint="a zero is a number too: padding set to zero pulls the mean towards 0 and is still counted",
        ),
        Wrong(
            name="divided by the number of all tokens",
            answer=_statistics(_sum_over_all),
            hint="the sums hold real tokens only, but you divide by B * T: how many terms does a sum have?",
        ),
        Wrong(
            name="variance over all tokens",
            answer=_statistics(_variance_of_all),
            hint="the mean leaves padding out, the variance does not",
        ),
        Wrong(
            name="mean over all tokens",
            answer=_statistics(_mean_of_all),
            hint="the variance leaves padding out, the mean does not",
        ),
        Wrong(
            name="padding in the deviations",
            answer=_statistics(_variance_of_zeroed),
            hint="padding set to zero deviates from the mean by the whole mean: mask the deviations, not the inputs",
        ),
        Wrong(
            name="mean of means",
            answer=_statistics(_mean_of_means),
            hint="an average of the rows' averages lets a token of a short row count more: pool all real tokens",
        ),
        Wrong(
            name="one row at a time",
            answer=_statistics(_per_row),
            hint="each row gets statistics of its own here: batch norm takes those of all rows together",
        ),
        Wrong(
            name="one position at a time",
            answer=_statistics(lambda x, valid: _per_position(x, valid)),
            hint="each position gets statistics of its own here, at the end of long rows those of a single token: pool "
            "the tokens of all positions",
        ),
        Wrong(
            name="layer norm",
            answer=_statistics(lambda x, valid: _of(x, axis=(-1,))),
            hint="this takes the mean of a token's features: batch norm has one mean for each feature",
        ),
        Wrong(
            name="one mean for all features",
            answer=_statistics(_one_for_all_features),
            hint="there is one mean for everything: each feature needs its own, so keep the last axis",
        ),
        Wrong(
            name="mask inverted",
            answer=_statistics(lambda x, valid: _of(x[~valid]) if (~valid).any() else _of(x.flatten(0, 1))),
            hint="True marks real tokens: you took the statistics of the others",
        ),
        Wrong(
            name="unbiased variance",
            answer=_statistics(lambda x, valid: _of(x[valid], correction=1)),
            hint="x.var() and x.std() divide by one less than the number of tokens unless told otherwise",
        ),
        Wrong(
            name="eps outside the root",
            answer=_statistics(lambda x, valid: _of(x[valid]), root=lambda v, eps: v.sqrt() + eps),
            hint="eps is added to the variance, before the root",
        ),
        Wrong(
            name="no eps",
            answer=_statistics(lambda x, valid: _of(x[valid]), root=lambda v, eps: v.sqrt()),
            hint="eps is not used: what if all real tokens agree on a feature?",
        ),
        Wrong(
            name="no root",
            answer=_statistics(lambda x, valid: _of(x[valid]), root=lambda v, eps: v + eps),
            hint="divided by the variance: something is missing around the sum",
        ),
        Wrong(
            name="mean square instead of variance",
            answer=_statistics(_mean_square),
            hint="a variance is the mean square of the deviations from the mean, not of the numbers themselves",
        ),
        Wrong(
            name="padding left as it comes",
            answer=_statistics(lambda x, valid: _of(x[valid]), zero=False),
            hint="the statistics are right; padding should come out as 0, so that it disturbs nobody later on",
        ),
        Wrong(
            name="padding set to zero before instead of after",
            answer=lambda x, valid, eps: _statistics(lambda y, v: _of(y[v]), zero=False)(
                x * _weights(valid), valid, eps
            ),
            hint="the statistics are right, but a 0 put in does not come out as 0, because the mean is subtracted: set "
            "padding to 0 at the end",
        ),
        Wrong(
            name="only the real tokens returned",
            answer=lambda x, valid, eps: (x[valid] - x[valid].mean(0)) / (x[valid].var(0, correction=0) + eps).sqrt(),
            hint="the real tokens are right, but stand in one long list: put them back in their places, (B, T, D)",
        ),
        Wrong(
            name="no mask, unbiased",
            answer=_statistics(lambda x, valid: _of(x.flatten(0, 1), correction=1), zero=False),
            hint="valid does not appear: padding takes part in the statistics and comes out as something",
        ),
        Wrong(
            name="unbiased, eps outside",
            answer=_statistics(lambda x, valid: _of(x[valid], correction=1), root=lambda v, eps: v.sqrt() + eps),
            hint="x.std() + eps differs in two ways: it divides by one less than the number of tokens, and eps "
            "comes after the root",
        ),
        Wrong(
            name="unbiased, no eps",
            answer=_statistics(lambda x, valid: _of(x[valid], correction=1), root=lambda v, eps: v.sqrt()),
            hint="x.std() divides by one less than the number of tokens unless told otherwise, and eps is not "
            "used",
        ),
        Wrong(
            name="variance around the mean of all",
            answer=_statistics(lambda x, valid: (x[valid].mean(0), x.var((0, 1), correction=0))),
            hint="the mean is that of the real tokens, the variance that of everything: x.var() does not know "
            "valid",
        ),
        Wrong(
            name="only centred",
            answer=lambda x, valid, eps: torch.where(valid[..., None], x - x[valid].mean(0), 0.0),
            hint="the mean is subtracted; nothing is divided yet, so the variance is not 1",
        ),
        Wrong(
            name="one mean for all, unbiased",
            answer=_statistics(lambda x, valid: (x[valid].mean(), x[valid].var())),
            hint="x[valid] has an axis of tokens and one of features: without an axis both are averaged away",
        ),
        *MORE,
    ),
    notice="The mask takes padding out of the statistics; neighbours in the batch and the future are still in them.",
)  # fmt: skip
