"""Exercise: the pseudo-likelihood of a word, and why it is no likelihood."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Wrong, equals, named_case
from tftutor.exercises.values import read_number


def pseudo_log_likelihood(joint: Tensor, a: int, b: int) -> Tensor:
    """How well each letter of a two-letter word fits the other one.

    joint: (V, W), joint[a, b] is the probability of the word a b.
    a, b: its letters.
    Returns log P(a | b) + log P(b | a), in nats.
    """
    return (joint[a, b] / joint[:, b].sum()).log() + (joint[a, b] / joint[a].sum()).log()


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for rows, columns in ((2, 3), (3, 5), (7, 4)):
        joint = torch.rand(rows, columns, generator=generator) ** 3 + 0.01
        cases += [named_case(joint=joint / joint.sum(), a=a, b=b) for a, b in ((0, 1), (rows - 1, columns - 2))]
    return cases


def _wrong(name: str, hint: str, answer: Callable[[Tensor, int, int], Tensor]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


PSEUDO_LIKELIHOOD = Exercise(
    id="pretraining/pseudo-likelihood",
    title="Likelihood and pseudo-likelihood",
    answer="pseudo_log_likelihood",
    solution=pseudo_log_likelihood,
    cases=_cases,
    read=read_number,
    properties=(
        equals("the result is log P(a | b) + log P(b | a)", lambda *args: float(pseudo_log_likelihood(*args)),
               hint="P(a | b) is the share of this word among all words that end in b"),
    ),
    wrong=(
        _wrong("the likelihood", "that is the log-probability of the word, which the chain rule gives: log P(a) + "
               "log P(b | a). Here the first letter too is asked with the other one given",
               lambda p, a, b: p[a, b].log()),
        _wrong("the likelihood twice", "P(a | b) is not P(a, b): divide by the probability of what is given",
               lambda p, a, b: 2 * p[a, b].log()),
        _wrong("marginals", "these letters know nothing of each other: condition each on the other one",
               lambda p, a, b: p[a].sum().log() + p[:, b].sum().log()),
        _wrong("first given second only", "one term of two: the second letter has to be asked as well",
               lambda p, a, b: (p[a, b] / p[:, b].sum()).log()),
        _wrong("second given first only", "one term of two: the first letter has to be asked as well",
               lambda p, a, b: (p[a, b] / p[a].sum()).log()),
        _wrong("no logarithm", "this is the product of the two probabilities: its logarithm is asked for",
               lambda p, a, b: (p[a, b] / p[:, b].sum()) * (p[a, b] / p[a].sum())),
        _wrong("sum of probabilities", "you add two probabilities: take the logarithm of each first",
               lambda p, a, b: (p[a, b] / p[:, b].sum()) + (p[a, b] / p[a].sum())),
        _wrong("logarithms multiplied", "probabilities of several answers multiply, and so their logarithms add",
               lambda p, a, b: (p[a, b] / p[:, b].sum()).log() * (p[a, b] / p[a].sum()).log()),
        _wrong("mean", "a mean over the letters: the sum is asked for",
               lambda p, a, b: pseudo_log_likelihood(p, a, b) / 2),
        _wrong("sign", "log-probabilities are negative; a loss would be positive",
               lambda p, a, b: -pseudo_log_likelihood(p, a, b)),
        _wrong("log2", "the result is in nats: take the natural logarithm, not that of base 2",
               lambda p, a, b: pseudo_log_likelihood(p, a, b) / torch.log(torch.tensor(2.0))),
        _wrong("marginals multiplied in", "divide by the probability of what is given; you multiply by it",
               lambda p, a, b: (p[a, b] * p[:, b].sum()).log() + (p[a, b] * p[a].sum()).log()),
    ),
    notice="Over all words exp of the likelihood sums to 1; exp of this need not, so it is no probability.",
)  # fmt: skip
