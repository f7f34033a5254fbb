"""Exercise: the pseudo-likelihood of a word, and why it is no likelihood."""

from __future__ import annotations

import math
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
        _wrong("twice the second", "both terms are log P(b | a): for the first letter the condition is b, so its "
               "column adds up to what is given", lambda p, a, b: 2 * (p[a, b] / p[a].sum()).log()),
        _wrong("twice the first", "both terms are log P(a | b): for the second letter the condition is a, so its row "
               "adds up to what is given", lambda p, a, b: 2 * (p[a, b] / p[:, b].sum()).log()),
        _wrong("divided by both", "one logarithm, divided by both marginals, is the mutual information of the two "
               "letters; take two conditional probabilities",
               lambda p, a, b: (p[a, b] / p[:, b].sum() / p[a].sum()).log()),
        _wrong("logarithm of a sum", "you add the probabilities and take one logarithm: take the logarithms first",
               lambda p, a, b: (p[a, b] / p[:, b].sum() + p[a, b] / p[a].sum()).log()),
        _wrong("softmax", "the table holds probabilities already: dividing by a sum makes them conditional, no softmax",
               lambda p, a, b: p.log_softmax(0)[a, b] + p.log_softmax(1)[a, b]),
        _wrong("divided by the mean", "divide by the sum of the row or column, not by its mean",
               lambda p, a, b: (p[a, b] / p[:, b].mean()).log() + (p[a, b] / p[a].mean()).log()),
        _wrong("divided by the largest", "divide by the sum of the row or column, not by its largest entry",
               lambda p, a, b: (p[a, b] / p[:, b].max()).log() + (p[a, b] / p[a].max()).log()),
        _wrong("log10", "the result is in nats: take the natural logarithm, not that of base 10",
               lambda p, a, b: pseudo_log_likelihood(p, a, b) / math.log(10)),
        _wrong("difference", "the two terms are added: both letters are asked for",
               lambda p, a, b: (p[a, b] / p[:, b].sum()).log() - (p[a, b] / p[a].sum()).log()),
        _wrong("odds", "the word itself belongs to the words that end in b: do not take it out of the sum",
               lambda p, a, b: (p[a, b] / (p[:, b].sum() - p[a, b])).log() + (p[a, b] / (p[a].sum() - p[a, b])).log()),
        _wrong("all words", "one number for each word of the table: the word a b alone is asked for",
               lambda p, a, b: (p / p.sum(0)).log() + (p / p.sum(1, keepdim=True)).log()),
        _wrong("whole row and column", "you add up the logarithms of a whole row and column: only the word a b is "
               "scored", lambda p, a, b: (p[:, b] / p[:, b].sum()).log().sum() + (p[a] / p[a].sum()).log().sum()),
        _wrong("weighted", "each logarithm is multiplied by its probability, as in an entropy; here the word is given, "
               "so the logarithms count once each", lambda p, a, b: (
                   (p[a, b] / p[:, b].sum()) * (p[a, b] / p[:, b].sum()).log()
                   + (p[a, b] / p[a].sum()) * (p[a, b] / p[a].sum()).log())),
        _wrong("one term unconditioned", "P(a, b) is not conditional: divide it by the probability of b",
               lambda p, a, b: p[a, b].log() + (p[a, b] / p[a].sum()).log()),
        _wrong("the other unconditioned", "P(a, b) is not conditional: divide it by the probability of a",
               lambda p, a, b: p[a, b].log() + (p[a, b] / p[:, b].sum()).log()),
    ),
    notice="Over all words exp of the likelihood sums to 1; exp of this need not, so it is no probability.",
)  # fmt: skip
