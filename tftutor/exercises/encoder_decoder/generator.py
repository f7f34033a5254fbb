"""Exercise: from the decoder's states to log-probabilities."""

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
    has_shape,
    named_case,
)
from tftutor.exercises.values import fresh


def log_probs(hidden: Tensor, weight: Tensor) -> Tensor:
    """What the generator says about the next token.

    hidden: decoder states (B, T, D).
    weight: (V, D), one row per token of the vocabulary.
    Returns log-probabilities (B, T, V), in nats.
    """
    return (hidden @ weight.T).log_softmax(dim=-1)


def _generator_cases(generator: torch.Generator) -> list[Case]:
    def draw(b: int, t: int, d: int, v: int, size: float = 1.0) -> Case:
        hidden = torch.randn(b, t, d, generator=generator) * size
        return named_case(hidden=hidden, weight=torch.randn(v, d, generator=generator))

    cases = [draw(1, 2, 3, 4), draw(2, 3, 5, 4), draw(*distinct_sizes(generator, 4, 2, 8)), draw(2, 4, 3, 7, 60.0)]
    return [*cases, draw(2, 3, 5, 5)]  # V = D: a missing transpose gives numbers here


def _sums_to_one(trial: Trial) -> Mismatch | None:
    total = trial.output.exp().sum(dim=-1)
    return compare(torch.ones_like(total), total)


def _keeps_log_odds(trial: Trial) -> Mismatch | None:
    hidden, weight = trial.args
    logits = hidden @ weight.T
    return compare(logits - logits[..., :1], trial.output - trial.output[..., :1])


class _CountLogSoftmax(TorchFunctionMode):
    """Counts how often a log-softmax is taken, by whatever name."""

    n = 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func in (torch.log_softmax, F.log_softmax, Tensor.log_softmax):
            self.n += 1
        return func(*args, **(kwargs or {}))


def _log_softmax_twice(answer: Callable[..., Any], cases: Sequence[Case]) -> bool:
    with _CountLogSoftmax() as count:
        answer(*fresh(cases[0].args))
    return count.n > 1


GENERATOR = Exercise(
    id="encoder-decoder/generator",
    title="From states to log-probabilities",
    answer="log_probs",
    solution=log_probs,
    cases=_generator_cases,
    properties=(
        has_shape("there is one number per token of the vocabulary", lambda h, w: (*h.shape[:2], w.shape[0])),
        Property(
            sentence="at every position the probabilities, exp of the result, sum to 1",
            test=_sums_to_one,
            hint="a distribution over the vocabulary at each position: which axis is the vocabulary?",
        ),
        Property(
            sentence="differences between tokens are differences between logits",
            test=_keeps_log_odds,
            hint="the log-softmax subtracts one number per position from the logits and changes nothing else",
        ),
    ),
    wrong=(
        Wrong(
            name="softmax",
            answer=lambda hidden, weight: (hidden @ weight.T).softmax(dim=-1),
            hint="these are probabilities; the loss wants their logarithms",
        ),
        Wrong(
            name="double softmax",
            answer=lambda hidden, weight: (hidden @ weight.T).softmax(dim=-1).log_softmax(dim=-1),
            hint="two softmaxes in a row: the second one takes probabilities for logits and flattens the distribution",
        ),
        Wrong(
            name="logits",
            answer=lambda hidden, weight: hidden @ weight.T,
            hint="these are logits: they do not sum to anything in particular until they are normalised",
        ),
        Wrong(
            name="over time",
            answer=lambda hidden, weight: (hidden @ weight.T).log_softmax(dim=1),
            hint="positions compete with each other here; tokens of the vocabulary should, at each position",
        ),
        Wrong(
            name="over the batch",
            answer=lambda hidden, weight: (hidden @ weight.T).log_softmax(dim=0),
            hint="sequences of the batch compete with each other here; tokens of the vocabulary should",
        ),
        Wrong(
            name="logarithm of the softmax",
            answer=lambda hidden, weight: (hidden @ weight.T).softmax(dim=-1).log(),
            hint="small probabilities underflow to 0, and log 0 is -inf: there is one function that does both at once",
        ),
        Wrong(
            name="by hand, without care for large logits",
            answer=lambda hidden, weight: (hidden @ weight.T) - (hidden @ weight.T).exp().sum(-1, keepdim=True).log(),
            hint="the formula is right, but the exponential of a large logit is infinite: subtract the largest logit "
            "first, or use the function that does",
        ),
        Wrong(
            name="one distribution over everything",
            answer=lambda hidden, weight: (hidden @ weight.T) - (hidden @ weight.T).flatten().logsumexp(0),
            hint="all positions share one distribution here: each has its own, which sums to 1 by itself",
        ),
        Wrong(
            name="only the last position",
            answer=lambda hidden, weight: (hidden[:, -1] @ weight.T).log_softmax(dim=-1),
            hint="while generating only the last position counts, but training needs them all: return every one",
        ),
        Wrong(
            name="scaled logits",
            answer=lambda hidden, weight: (hidden @ weight.T / hidden.shape[-1] ** 0.5).log_softmax(dim=-1),
            hint="the root of the width belongs to the scores of attention: logits are the plain dot products",
        ),
        Wrong(
            name="sigmoid",
            answer=lambda hidden, weight: (hidden @ weight.T).sigmoid().log(),
            hint="this asks a separate yes or no of every token; exactly one of them comes next, so they share one "
            "distribution",
        ),
        Wrong(
            name="weight not transposed",
            answer=lambda hidden, weight: (hidden @ weight).log_softmax(dim=-1),
            hint="weight has one row per token: which of its axes has to meet the last axis of hidden?",
        ),
        Wrong(
            name="negative log-probabilities",
            answer=lambda hidden, weight: -(hidden @ weight.T).log_softmax(dim=-1),
            hint="logarithms of probabilities are negative; the minus sign belongs to the loss",
        ),
    ),
    flags=(
        Flag(
            applies=_log_softmax_twice,
            remark="It takes the log-softmax twice: harmless, since log-probabilities are logits that happen to be "
            "normalised (cross_entropy on them gives the same loss for that reason), but the work is done twice.",
            example=lambda hidden, weight: F.log_softmax((hidden @ weight.T).log_softmax(dim=-1), dim=-1),
        ),
    ),
    notice="Adding a constant to all logits of a position would have changed nothing.",
)
