"""Exercises: the variance of a dot product, and the factor that undoes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import number_text, read_number


def score_variance(d: int, mean: float, std: float) -> float:
    """Variance of q . k, where all 2 d entries of q and k are independent.

    d: width of q and k.  mean, std: of every single entry.
    """
    return d * ((std**2 + mean**2) ** 2 - mean**4)


def _variance_cases(_generator: torch.Generator) -> list[Case]:
    settings = ((1, 0.0, 1.0), (64, 0.0, 1.0), (64, 0.0, 2.0), (64, 0.5, 1.0), (5, 3.0, 0.0), (7, -0.3, 0.5))
    return [named_case(d=d, mean=mean, std=std) for d, mean, std in settings]


def _at_zero_mean(trial: Trial) -> Mismatch | None:
    d, mean, std = trial.args
    return None if mean else compare(score_variance(d, mean, std), trial.output)


def _wrong_variance(name: str, answer: Callable[[int, float, float], float], hint: str) -> Wrong:
    return Wrong(name=name, answer=answer, hint=hint)


VARIANCE = Exercise(
    id="scores/variance",
    title="The variance of a score, in general",
    answer="score_variance",
    solution=score_variance,
    cases=_variance_cases,
    read=read_number,
    properties=(
        Property(
            sentence="the variance is right when the mean is 0",
            test=_at_zero_mean,
            hint="begin with one product of two entries of mean 0: what is the mean of its square?",
        ),
        equals(
            "the variance is right when the mean is not 0",
            score_variance,
            hint="the variance of one product is E[q^2 k^2] - (E[q k])^2, and both factors split, since q and k are "
            "independent",
        ),
    ),
    wrong=(
        _wrong_variance("one variance only", lambda d, mean, std: d * std**2,
                        "each term is a product of two random numbers: double both of them, and by how much does the "
                        "variance grow?"),
        _wrong_variance("mean forgotten", lambda d, mean, std: d * std**4,
                        "right for mean 0; where k has a mean, q varies and is multiplied by that mean, which adds "
                        "to the variance"),
        _wrong_variance("mean square not subtracted", lambda d, mean, std: d * (std**2 + mean**2) ** 2,
                        "this is the mean of the square; if nothing varies (std 0), the variance has to be 0"),
        _wrong_variance("squared mean subtracted once", lambda d, mean, std: d * ((std**2 + mean**2) ** 2 - mean**2),
                        "what is subtracted is the square of E[q k], and E[q k] is already a product of two means"),
        _wrong_variance("width squared", lambda d, mean, std: d**2 * ((std**2 + mean**2) ** 2 - mean**4),
                        "variances of independent terms add up, one for each of the d terms; it is a common factor "
                        "that would be squared"),
        _wrong_variance("standard deviation", lambda d, mean, std: math.sqrt(score_variance(d, mean, std)),
                        "this is the standard deviation; the variance is its square"),
        _wrong_variance("after the scale", lambda d, mean, std: score_variance(d, mean, std) / d,
                        "this is the variance of one of the d products, or of the score after dividing by the root of "
                        "d; asked is the raw sum"),
        _wrong_variance("one product, width forgotten and mean forgotten", lambda d, mean, std: std**4,
                        "this is one product of two entries of mean 0: how many are added up, and what if the mean is "
                        "not 0?"),
        _wrong_variance("half of the mixed term",
                        lambda d, mean, std: d * (std**4 + mean**2 * std**2),
                        "q varies around its mean and so does k: the mixed term of mean and variance occurs twice"),
        _wrong_variance("mixed terms only", lambda d, mean, std: 2 * d * mean**2 * std**2,
                        "this is what a mean adds; with mean 0 a product of two varying numbers varies too"),
        _wrong_variance("mean square of one entry", lambda d, mean, std: d * (std**2 + mean**2),
                        "this adds up mean squares of single entries, E[q^2]; a score adds up products of two"),
        _wrong_variance("only the width", lambda d, mean, std: d,
                        "right for mean 0 and std 1; the function is to know the other two as well"),
        _wrong_variance("variances added", lambda d, mean, std: 2 * d * std**2,
                        "variances of q and k were added, as for a sum q + k; here the two are multiplied"),
        _wrong_variance("std taken for the variance",
                        lambda d, mean, std: score_variance(d, mean, math.sqrt(std)),
                        "you are given standard deviations; the mean of q^2 contains the variance"),
        _wrong_variance("mean subtracted once for all", lambda d, mean, std: d * (std**2 + mean**2) ** 2 - mean**4,
                        "each of the d terms has a mean, and its square is taken off each of them: mind the brackets"),
        _wrong_variance("square of the mean of the sum",
                        lambda d, mean, std: d * (std**2 + mean**2) ** 2 - d**2 * mean**4,
                        "the sum's mean, squared, is taken off; then what it is taken off from has to be the mean of "
                        "the sum's square, which holds products of different terms. Do one term first"),
        _wrong_variance("no mixed term", lambda d, mean, std: d * (std**4 + mean**4),
                        "expand the square of a sum: there is a mixed term; and a constant does not vary"),
        _wrong_variance("mean taken off the variance", lambda d, mean, std: d * (std**4 - mean**4),
                        "a variance cannot be negative: is E[q^2] larger or smaller than the variance of q?"),
        _wrong_variance("minus within the mean square",
                        lambda d, mean, std: d * ((std**2 - mean**2) ** 2 - mean**4),
                        "the variance is E[q^2] less the squared mean: solve that for E[q^2] and look at the sign"),
    ),
    notice="std 2 multiplies the variance by 16, and a mean adds to it: the factor is right for mean 0 and std 1 only.",
)  # fmt: skip


def _scores_have_unit_variance(trial: Trial) -> Mismatch | None:
    std = abs(float(trial.output)) * math.sqrt(64)
    return None if abs(std - 1) < 0.01 else Mismatch("scores of standard deviation 1", f"{number_text(std)}")


def _is(value: float) -> Callable[[Any], bool]:
    return lambda answer: math.isclose(read_number(answer), value, rel_tol=0.02)


def _wrong_factor(name: str, value: float, hint: str) -> Wrong:
    return Wrong(name=name, answer=value, hint=hint, recognise=_is(value))


FACTOR = Exercise(
    id="scores/factor",
    title="Pick the factor",
    answer="factor",
    solution=0.125,
    takes="value",
    read=read_number,
    properties=(
        Property(
            sentence="entries of queries and keys with variance 1 give scores with variance 1",
            test=_scores_have_unit_variance,
            hint="how many products are added up for one score of one head?",
        ),
        Property(
            sentence="the factor is positive",
            test=lambda trial: None if trial.output > 0 else Mismatch("a positive factor", number_text(trial.output)),
            hint="what would a negative factor do to the best match?",
        ),
    ),
    wrong=(
        _wrong_factor("root of d_model", 512**-0.5,
                      "a score is summed within one head: look at the width per head, not at that of the model"),
        _wrong_factor("root of the number of heads", 8**-0.5,
                      "heads are not added up in a score: how many features does one head hold?"),
        _wrong_factor("not the root", 1 / 64,
                      "this is the width of the right thing; the spread of a sum grows like its root"),
        _wrong_factor("model width, not the root", 1 / 512,
                      "this is the width of the model and not even its root: whose features does one score add up, and "
                      "how does the spread of a sum grow?"),
        _wrong_factor("model width, as divisor", 512.0,
                      "this is the width of the model; the question is about one head, and a number to multiply by"),
        _wrong_factor("squared head width", 64**-2.0,
                      "far too small: the standard deviation is undone by a root, not by a square"),
        _wrong_factor("root of the number of heads, as divisor", 8**0.5,
                      "this number grows scores, and it counts heads: what does a single score add up?"),
        _wrong_factor("divisor instead of factor", 8.0,
                      "this is what scores are divided by; the factor multiplies them"),
        _wrong_factor("head width, as divisor", 64.0,
                      "this is the width of a head: the factor is what scores are multiplied by, and it undoes the "
                      "growth of the standard deviation"),
        _wrong_factor("root of d_model, as divisor", 512**0.5,
                      "two things: scores are to be multiplied by this number, and each of them belongs to one head"),
        _wrong_factor("no factor", 1.0,
                      "with factor 1 the standard deviation of the scores is that of a sum with many terms"),
        _wrong_factor("negative", -0.125, "the size is right; with this sign the worst match would win"),
    ),
    notice="The width of a head decides, 512 / 8 = 64, and 1 / sqrt(64) is 0.125; PyTorch takes it from q.shape[-1].",
)  # fmt: skip
