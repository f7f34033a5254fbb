"""Exercises: a cache to be computed in the head, and attention weights that mislead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, show

# LLaMA-2 70B has 80 layers, 64 query heads, 8 key/value heads of width 128. 32 conversations of 4,096 tokens each,
# 16-bit numbers. Which is nearest to the cache they need together?
# (a) 1.25 GiB  (b) 20 GiB  (c) 40 GiB  (d) 320 GiB  (e) 5 GiB
PREDICT_CACHE = Exercise(
    id="clinic/predict-cache",
    title="Predict: the cache of 32 conversations",
    answer="prediction",
    solution="c",
    takes="value",
    read=read_choice,
    properties=(is_option("c", "abcde"),),
    wrong=(
        Wrong(name="a: one conversation", answer="a", hint="that is one conversation: does a batch share its cache?"),
        Wrong(name="b: keys only", answer="b", hint="half of it: what else is kept besides the keys?"),
        Wrong(
            name="d: query heads",
            answer="d",
            hint="eight times too much: which heads are cached, those of queries or those of keys and values?",
        ),
        Wrong(
            name="e: a single key/value head",
            answer="e",
            hint="an eighth of it: that would be one key/value head for all queries",
        ),
    ),
    notice="320 KiB a token, 1.25 GiB a conversation, 40 GiB for 32: the batch multiplies the cache, not the weights.",
)


def _read_pair(value: Any) -> tuple[Tensor, Tensor]:
    expected = "three weights and three values of width 2"
    how = "write it as ([0.5, 0.3, 0.2], [[1, 0], [0, 1], [1, 1]])"
    try:
        weights, values = (torch.as_tensor(part, dtype=torch.float64) for part in value)
    except Exception:  # anything else
        raise Trouble("is no pair of weights and values", how, expected=expected, got=show(value)) from None
    if weights.shape != (3,) or values.shape != (3, 2):
        shapes = f"shapes {tuple(weights.shape)} and {tuple(values.shape)}"
        raise Trouble("has other shapes", how, expected=expected, got=shapes)
    if not bool(weights.isfinite().all() & values.isfinite().all()) or float(values.abs().max()) > 100:
        raise Trouble("is out of range", "keep the values between -100 and 100", expected=expected, got=show(value))
    if float(weights.min()) <= 0 or abs(float(weights.sum()) - 1) > 1e-6:
        raise Trouble("has weights that no softmax gives", "three positive numbers that add up to 1",
                      expected="positive, sum 1", got=show(weights))  # fmt: skip
    return weights, values


def _moves(weights: Tensor, values: Tensor) -> Tensor:
    """How far the output moves when each token in turn is hidden and the others share its weight, (3,)."""
    output, found = weights @ values, []
    for i in range(3):
        rest = weights * (torch.arange(3) != i)
        found.append((rest / rest.sum() @ values - output).norm())
    return torch.stack(found)


def _heaviest_leads(trial: Trial) -> Mismatch | None:
    weights, _ = trial.output
    top = weights.sort().values
    if float(top[-1] - top[-2]) > 0.05:
        return None
    return Mismatch("one weight ahead of the others by more than 0.05", f"by {float(top[-1] - top[-2]):.2g}")


def _heaviest_is_idle(trial: Trial) -> Mismatch | None:
    weights, values = trial.output
    move = _moves(weights, values)[weights.argmax()]
    return None if float(move) < 0.01 else Mismatch("output moves by less than 0.01", f"by {float(move):.3g}")


def _lightest_matters(trial: Trial) -> Mismatch | None:
    weights, values = trial.output
    move = _moves(weights, values)[weights.argmin()]
    return None if float(move) > 0.1 else Mismatch("output moves by more than 0.1", f"by {float(move):.3g}")


def _looks(test: Callable[[Tensor, Tensor], bool]) -> Callable[[Any], bool]:
    return lambda answer: bool(test(*_read_pair(answer)))


BREAK_IMPORTANCE = Exercise(
    id="clinic/break-importance",
    title="Break it: the largest weight belongs to the most important token",
    answer="counterexample",
    solution=([0.6, 0.3, 0.1], [[0.0, 0.0], [1.0, 0.0], [-3.0, 0.0]]),
    takes="value",
    read=_read_pair,
    properties=(
        Property(sentence="one token has clearly the largest weight", test=_heaviest_leads,
                 hint="the sentence to be refuted needs a token to talk about: give one the largest weight"),
        Property(sentence="hiding the token with the largest weight leaves the output as it is", test=_heaviest_is_idle,
                 hint="when a token is hidden, the others share its weight: what must its value be for the mixture to "
                      "stay the same?"),
        Property(sentence="hiding the token with the smallest weight moves the output", test=_lightest_matters,
                 hint="a small weight can carry a large value"),
    ),
    wrong=(
        Wrong(name="all values equal", answer=([0.6, 0.3, 0.1], [[1.0, 2.0]] * 3),
              recognise=_looks(lambda w, v: (v - v[0]).abs().max() < 1e-9),
              hint="then no token matters, the one with the smallest weight included"),
        Wrong(name="equal weights", answer=([1 / 3, 1 / 3, 1 / 3], [[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]),
              recognise=_looks(lambda w, v: w.sort().values.diff()[-1] <= 0.05),
              hint="no weight is clearly the largest here: which token would be called the most important?"),
        Wrong(name="a zero value that is not the mean", answer=([0.6, 0.3, 0.1], [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
              recognise=_looks(lambda w, v: v[w.argmax()].norm() < 1e-9 and _moves(w, v)[w.argmax()] >= 0.01),
              hint="a value of zero adds nothing, and yet its weight goes to the others when it is hidden: choose "
                   "those so that they cancel"),
        Wrong(name="the lightest idle too", answer=([0.6, 0.25, 0.15], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.001]]),
              recognise=_looks(lambda w, v: _moves(w, v)[w.argmax()] < 0.01),
              hint="the heavy one is idle, as wanted. Now let the light one pull harder, against the third"),
        Wrong(name="the heaviest moves most", answer=([0.8, 0.1, 0.1], [[5.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
              recognise=_looks(lambda w, v: _moves(w, v).argmax() == w.argmax()),
              hint="this is a case for the sentence: the heavy token also moves the output most"),
    ),
    notice="A weight says how much of a value is mixed in, not what the output would be without it. To claim "
    "importance, hide the token and look.",
)  # fmt: skip
