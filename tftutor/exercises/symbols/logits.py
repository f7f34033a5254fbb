"""Exercise: a log-softmax that survives large logits."""

from __future__ import annotations

import math
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
            answer=lambda z: (
                (z - z.amax(dim=-1, keepdim=True)) - (z - z.amax(dim=-1, keepdim=True)).exp().sum(dim=-1, keepdim=True)
            ),
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
        Wrong(
            name="one sum for all rows",
            answer=lambda z: z - z.logsumexp(dim=(0, 1)),
            hint="the exponentials of all rows are in one sum here; each row has a sum of its own",
        ),
        Wrong(
            name="maximum of the column",
            answer=lambda z: _with_shift(z, z.amax(dim=0, keepdim=True)),
            hint="you take the largest logit of each column away, a different one from each class: what may be taken "
            "away is one number per row",
        ),
        Wrong(
            name="largest absolute value",
            answer=lambda z: _with_shift(z, z.abs().amax(dim=-1, keepdim=True)),
            hint="if all logits of a row are far below 0, this shift pushes them down further and every exponential "
            "is 0",
        ),
        Wrong(
            name="divided by the maximum",
            answer=lambda z: _with_shift(z / z.amax(dim=-1, keepdim=True), 0 * z),
            hint="a division changes the differences, as a temperature does; a subtraction does not",
        ),
        Wrong(
            name="logits clamped",
            answer=lambda z: z.clamp(-80, 80).log_softmax(dim=-1),
            hint="what is beyond your bounds becomes equal to the bound: differences between large logits are lost",
        ),
        Wrong(
            name="a fixed shift",
            answer=lambda z: _with_shift(z, torch.tensor(100.0)),
            hint="no fixed number fits all rows: the logits may be 10,000 or -10,000",
        ),
        Wrong(
            name="mean of the exponentials",
            answer=lambda z: (
                z
                - z.amax(dim=-1, keepdim=True)
                - (z - z.amax(dim=-1, keepdim=True)).exp().mean(dim=-1, keepdim=True).log()
            ),
            hint="with a mean the probabilities add up to the number of classes; the sum is wanted",
        ),
        Wrong(
            name="log of the sum added",
            answer=lambda z: (
                z
                - z.amax(dim=-1, keepdim=True)
                + (z - z.amax(dim=-1, keepdim=True)).exp().sum(dim=-1, keepdim=True).log()
            ),
            hint="dividing by the sum becomes a subtraction under the logarithm, not an addition",
        ),
        Wrong(
            name="logarithm before the sum",
            answer=lambda z: z - z.amax(dim=-1, keepdim=True) - (z - z.amax(dim=-1, keepdim=True)).sum(-1, True),
            hint="the logarithm was taken of each exponential, which undoes it: first the sum, then its logarithm",
        ),
        Wrong(
            name="shift subtracted twice",
            answer=lambda z: z.log_softmax(dim=-1) - z.amax(dim=-1, keepdim=True),
            hint="the shift is taken away once too often: after it, both terms are shifted already",
        ),
        Wrong(
            name="one more under the logarithm",
            answer=lambda z: (
                z
                - z.amax(dim=-1, keepdim=True)
                - (z - z.amax(dim=-1, keepdim=True)).exp().sum(dim=-1, keepdim=True).log1p()
            ),
            hint="log1p adds a 1 to the sum, as if there were one class more, with the logit of the largest",
        ),
        Wrong(
            name="base two",
            answer=lambda z: z.log_softmax(dim=-1) / math.log(2),
            hint="these are logarithms to the base 2; exp of the result has to give the probabilities",
        ),
        Wrong(
            name="two softmaxes",
            answer=lambda z: z.softmax(dim=-1).log_softmax(dim=-1),
            hint="the softmax is taken twice: the second one sees probabilities, all between 0 and 1",
        ),
        Wrong(
            name="a sigmoid for each",
            answer=F.logsigmoid,
            hint="each logit is judged by itself here: the classes of a row have to share one whole",
        ),
        Wrong(
            name="the constant only",
            answer=lambda z: z.logsumexp(dim=-1),
            hint="this is what has to be subtracted, one number per row; subtract it from the logits",
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
