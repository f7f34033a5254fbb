"""Exercise: the log-odds between classes."""

from __future__ import annotations

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
    compare,
    distinct_sizes,
    equals,
    has_shape,
    named_case,
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
        Wrong(
            name="ratio of the log-probabilities",
            answer=lambda z: z.log_softmax(-1)[:, :, None] / z.log_softmax(-1)[:, None, :],
            hint="the logarithm of a ratio is not the ratio of the logarithms: which operation takes its place?",
        ),
        Wrong(
            name="exponential too many",
            answer=lambda z: (z[:, :, None] - z[:, None, :]).exp(),
            hint="exp turns the log-odds back into odds: leave it out",
        ),
        Wrong(
            name="exponentials divided",
            answer=lambda z: (z.exp()[:, :, None] / z.exp()[:, None, :]).log(),
            hint="right on paper, but exp(1000) is infinite: what is the logarithm of such a ratio, worked out first?",
        ),
        Wrong(
            name="sign lost",
            answer=lambda z: (z[:, :, None] - z[:, None, :]).abs(),
            hint="the sign says which of the two is likelier; keep it",
        ),
        Wrong(
            name="inputs against inputs",
            answer=lambda z: z[:, None] - z[None, :],
            hint="you compare every two inputs of the batch; asked for are every two classes of one input",
        ),
        Wrong(
            name="sum",
            answer=lambda z: z[:, :, None] + z[:, None, :],
            hint="a sum belongs to a product of probabilities; the odds are a ratio",
        ),
        Wrong(
            name="product",
            answer=lambda z: z[:, :, None] * z[:, None, :],
            hint="the logits are multiplied; what becomes of a division under the logarithm?",
        ),
        Wrong(
            name="each with its own sigmoid",
            answer=lambda z: F.logsigmoid(z)[:, :, None] - F.logsigmoid(z)[:, None, :],
            hint="the classes exclude one another, so their probabilities come from a softmax, not from sigmoids",
        ),
        Wrong(
            name="softmax over the batch",
            answer=lambda z: z.log_softmax(dim=0)[:, :, None] - z.log_softmax(dim=0)[:, None, :],
            hint="the probabilities are normalised over the inputs here: then the constants do not cancel",
        ),
        Wrong(
            name="constant subtracted once more",
            answer=lambda z: z[:, :, None] - z[:, None, :] - z.logsumexp(-1)[:, None, None],
            hint="log Z is in both log-probabilities, so it is gone after the subtraction",
        ),
        Wrong(
            name="one half of the pairs",
            answer=lambda z: (z[:, :, None] - z[:, None, :]).triu(),
            hint="half of the pairs are 0: entry [n, j, i] is wanted as well as [n, i, j]",
        ),
        Wrong(
            name="i against all but j",
            answer=lambda z: (z.softmax(-1)[:, :, None] / (1 - z.softmax(-1)[:, None, :])).log(),
            hint="below the fraction stands p_j itself, not what is left without it",
        ),
        Wrong(
            name="neighbours only",
            answer=lambda z: z.diff(dim=-1),
            hint="these are differences of neighbouring classes; every class is to be compared with every class",
        ),
        Wrong(
            name="a small number under the logarithm",
            answer=lambda z: (z.softmax(-1) + 1e-9)[:, :, None].log() - (z.softmax(-1) + 1e-9)[:, None, :].log(),
            hint="the small number keeps the logarithm finite and makes it wrong: nothing here has to go through a "
            "probability",
        ),
    ),
    notice="log Z has cancelled: odds between two classes do not depend on the others.",
)
