"""Exercises: a log-softmax that survives large logits, and the log-odds between classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Flag,
    Mismatch,
    Property,
    Trial,
    Wrong,
    compare,
    distinct_sizes,
    equals,
    has_shape,
    named_case,
)
from tftutor.exercises.values import fresh


def log_softmax(z: Tensor) -> Tensor:
    """Log-probabilities of logits, for logits of any size.

    z: logits (B, V), as large as 10,000 and as small as -10,000.
    Returns (B, V): z minus the log of the sum of exponentials of its row.
    """
    shifted = z - z.amax(dim=-1, keepdim=True)
    return shifted - shifted.exp().sum(dim=-1, keepdim=True).log()


def _logit_cases(generator: torch.Generator) -> list[Case]:
    def draw(b: int, v: int, size: float = 1.0) -> Case:
        return named_case(z=torch.randn(b, v, generator=generator) * size)

    far = torch.tensor([[10_000.0, 9_999.0, -10_000.0], [-10_000.0, -9_998.0, -9_999.0]])
    cases = [named_case(z=torch.tensor([[0.0, 1.0]])), draw(2, 3), draw(3, 5)]
    cases += [named_case(z=torch.tensor([[1e4, 9999]])), named_case(z=far), draw(4, 6, 3e3)]
    cases += [draw(*distinct_sizes(generator, 2, 2, 9)) for _ in range(2)]
    return [*cases, draw(4, 4)]  # square: an axis that was lost gives numbers here


def _sums_to_one(trial: Trial) -> Mismatch | None:
    total = trial.output.exp().sum(dim=-1)
    return compare(torch.ones_like(total), total)


def _keeps_differences(trial: Trial) -> Mismatch | None:
    (z,) = trial.args
    return compare(z - z[..., :1], trial.output - trial.output[..., :1])


class _Watch(TorchFunctionMode):
    """Notices calls of torch's own log-softmax and log-sum-exp."""

    seen = False

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        ready = (torch.log_softmax, F.log_softmax, Tensor.log_softmax, torch.logsumexp, Tensor.logsumexp)
        self.seen |= func in ready
        return func(*args, **(kwargs or {}))


def _uses_ready_made(answer: Callable[..., Any], cases: Sequence[Case]) -> bool:
    with _Watch() as watch:
        answer(*fresh(cases[0].args))
    return watch.seen


def _with_shift(z: Tensor, shift: Tensor) -> Tensor:
    return (z - shift) - (z - shift).exp().sum(dim=-1, keepdim=True).log()


LOG_SOFTMAX = Exercise(
    id="symbols/log-softmax",
    title="A log-softmax that does not overflow",
    answer="log_softmax",
    solution=log_softmax,
    cases=_logit_cases,
    properties=(
        has_shape("there is one log-probability per logit", lambda z: tuple(z.shape)),
        Property(
            sentence="in every row the probabilities, exp of the result, sum to 1",
            test=_sums_to_one,
            hint="what is subtracted from a row is the logarithm of the sum of that row's exponentials",
        ),
        Property(
            sentence="differences within a row are those between the logits",
            test=_keeps_differences,
            hint="a log-softmax subtracts one number from the whole row and changes nothing else",
        ),
    ),
    wrong=(
        Wrong(
            name="no shift",
            answer=lambda z: z - z.exp().sum(dim=-1, keepdim=True).log(),
            hint="exp(10000) is infinite in floating point, and exp(-10000) is 0: which number can be taken from all "
            "logits of a row without changing the result?",
        ),
        Wrong(
            name="logarithm of the softmax",
            answer=lambda z: z.softmax(dim=-1).log(),
            hint="a small probability has become 0 before you take its logarithm: stay with logarithms, and never go "
            "through the probability itself",
        ),
        Wrong(
            name="a small number under the logarithm",
            answer=lambda z: (z.softmax(dim=-1) + 1e-9).log(),
            hint="the small number hides the -inf and invents a log-probability of -20.7 in its place: compute it "
            "without going through the probability",
        ),
        Wrong(
            name="over the batch",
            answer=lambda z: z.log_softmax(dim=0),
            hint="rows compete with each other here; the classes of one row should",
        ),
        Wrong(
            name="one maximum for all rows",
            answer=lambda z: _with_shift(z, z.max()),
            hint="one row can lie far below the maximum of another, and then its exponentials are all 0: each row "
            "needs a shift of its own",
        ),
        Wrong(
            name="the mean subtracted",
            answer=lambda z: _with_shift(z, z.mean(dim=-1, keepdim=True)),
            hint="after this shift some logits are still large and positive: which shift leaves none above 0?",
        ),
        Wrong(
            name="axis lost",
            answer=lambda z: z - z.logsumexp(dim=-1),
            hint="the sums have shape (B,), and are laid along the columns: it only runs when B equals V or is 1. Keep "
            "the axis",
        ),
        Wrong(
            name="maximum only",
            answer=lambda z: z - z.amax(dim=-1, keepdim=True),
            hint="the shift makes the exponentials safe; the normalising is still to come",
        ),
        Wrong(
            name="logarithm forgotten",
            answer=lambda z: (z - z.amax(dim=-1, keepdim=True))
            - (z - z.amax(dim=-1, keepdim=True)).exp().sum(dim=-1, keepdim=True),
            hint="what is subtracted is a sum of exponentials; a logarithm is missing",
        ),
        Wrong(
            name="shift in the sum only",
            answer=lambda z: z - (z - z.amax(dim=-1, keepdim=True)).exp().sum(dim=-1, keepdim=True).log(),
            hint="the sum was computed from shifted logits, the rest from the old ones: the shift must be made up for",
        ),
        Wrong(
            name="probabilities",
            answer=lambda z: z.softmax(dim=-1),
            hint="these are probabilities; wanted are their logarithms",
        ),
        Wrong(
            name="sign",
            answer=lambda z: -z.log_softmax(dim=-1),
            hint="logarithms of probabilities are never positive; the minus sign belongs to the loss",
        ),
    ),
    flags=(
        Flag(
            applies=_uses_ready_made,
            remark="It uses what torch has ready, as you should from tomorrow on; today, write it out once.",
            example=lambda z: z - z.logsumexp(dim=-1, keepdim=True),
        ),
    ),
    notice="The shift by the maximum is shift invariance at work: no exponent is above 0 and one of them is 0.",
)


def log_odds(z: Tensor) -> Tensor:
    """Log-odds between every two classes.

    z: logits (N, K) of N inputs and K classes, up to 1,000 in size.
    Returns (N, K, K): entry [n, i, j] is log(p_i / p_j) for input n.
    """
    return z[:, :, None] - z[:, None, :]


def _odds_cases(generator: torch.Generator) -> list[Case]:
    def draw(n: int, k: int, size: float = 1.0) -> Case:
        return named_case(z=torch.randn(n, k, generator=generator) * size)

    cases = [named_case(z=torch.tensor([[2.0, 1.0, -1.0]])), draw(2, 3), draw(5, 3)]
    return [*cases, draw(*distinct_sizes(generator, 2, 2, 7)), draw(2, 3, 600.0)]


def _opposite_both_ways(trial: Trial) -> Mismatch | None:
    return compare(-trial.output.mT, trial.output)


LOG_ODDS = Exercise(
    id="symbols/log-odds",
    title="From logits to log-odds",
    answer="log_odds",
    solution=log_odds,
    cases=_odds_cases,
    properties=(
        has_shape("there is one number for every pair of classes", lambda z: (*z.shape, z.shape[1])),
        Property(
            sentence="the odds of j against i are those of i against j, inverted (the logarithm changes its sign)",
            test=_opposite_both_ways,
            hint="log(p_i / p_j) and log(p_j / p_i) differ by their sign only",
        ),
        equals(
            "entry [n, i, j] is log p_i - log p_j",
            lambda z: z.double().log_softmax(dim=-1)[:, :, None] - z.double().log_softmax(dim=-1)[:, None, :],
            hint="write log p_i and log p_j with the logits: what do they have in common?",
        ),
    ),
    wrong=(
        Wrong(
            name="through the probabilities",
            answer=lambda z: z.softmax(-1)[:, :, None].log() - z.softmax(-1)[:, None, :].log(),
            hint="where a probability has become 0 its logarithm is -inf: the answer needs no probability at all",
        ),
        Wrong(
            name="odds without the logarithm",
            answer=lambda z: z.softmax(-1)[:, :, None] / z.softmax(-1)[:, None, :],
            hint="these are odds; wanted are their logarithms, and those are much easier to get",
        ),
        Wrong(
            name="difference of the probabilities",
            answer=lambda z: z.softmax(-1)[:, :, None] - z.softmax(-1)[:, None, :],
            hint="a difference of probabilities is not a ratio: of what is log(p_i / p_j) the difference?",
        ),
        Wrong(
            name="the other way round",
            answer=lambda z: z[:, None, :] - z[:, :, None],
            hint="all signs are turned: entry [n, i, j] has class i on top of the fraction",
        ),
        Wrong(
            name="one class against the rest",
            answer=lambda z: z.softmax(-1).logit(),
            hint="log(p / (1 - p)) sets a class against all others together; asked for are pairs of classes",
        ),
        Wrong(
            name="a choice of two",
            answer=lambda z: F.logsigmoid(z[:, :, None] - z[:, None, :]),
            hint="this is the log-probability of i when only i and j are left; odds compare i with j, not with both",
        ),
        Wrong(
            name="a probability of two",
            answer=lambda z: (z[:, :, None] - z[:, None, :]).sigmoid(),
            hint="the sigmoid turns log-odds into a probability: you had the answer one step earlier",
        ),
        Wrong(
            name="ratio of the logits",
            answer=lambda z: z[:, :, None] / z[:, None, :],
            hint="a ratio of probabilities becomes something else when both are under a logarithm",
        ),
    ),
    notice="log Z has cancelled: odds between two classes do not depend on the others.",
)
