"""Exercises: the factor that makes tokens as large as positions, and the gradient of a confident mistake."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, is_option, named_case
from tftutor.exercises.values import number_text, read_choice, read_number
from tftutor.positions import sinusoids


def embedding_scale(std: float, d_model: int) -> float:
    """The factor that makes token vectors as large as sinusoidal positions.

    std: standard deviation of the entries of the embedding table; their mean is 0.
    d_model: width of the token vectors and of the positions.
    Returns the factor by which to multiply token vectors, so that the root
    mean square of their entries is that of the positions.
    """
    return math.sqrt(0.5) / std


def _scale_cases(_generator: torch.Generator) -> list[Case]:
    sizes = ((1.0, 8), (0.5, 4), (0.02, 16), (64**-0.5, 64), (math.sqrt(2 / 132), 32), (512**-0.5, 512), (0.02, 768))
    return [named_case(std=round(std, 6), d_model=d) for std, d in sizes]


def _rms(x: Tensor) -> float:
    return float(x.double().pow(2).mean().sqrt())


def _balances(trial: Trial) -> Mismatch | None:
    std, d_model = trial.args
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randn(40_000 // d_model, d_model, generator=draw) * std
    want, got = _rms(sinusoids(torch.arange(100), d_model)), _rms(tokens * trial.output)
    if abs(got / want - 1) <= 0.05 and trial.output > 0:
        return None
    return Mismatch(f"tokens of rms {number_text(want)}, as the positions", f"tokens of rms {number_text(got)}")


EMBEDDING_SCALE = Exercise(
    id="symbols/embedding-scale",
    title="Which factor makes tokens as large as positions?",
    answer="embedding_scale",
    solution=embedding_scale,
    cases=_scale_cases,
    read=read_number,
    properties=(
        Property(
            sentence="scaled token vectors and positions have the same rms, within 5 %",
            test=_balances,
            hint="write down the rms of the table and the rms of sines and cosines; the factor is a ratio of the two",
        ),
    ),
    wrong=(
        Wrong(
            name="always the root of the width",
            answer=lambda std, d_model: math.sqrt(d_model),
            hint="the root of d_model gives tokens an rms of std * sqrt(d_model), whatever std is: the factor has to "
            "depend on the initialisation",
        ),
        Wrong(
            name="no factor",
            answer=lambda std, d_model: 1.0,
            hint="this leaves the tokens as they were drawn; compare std with the rms of the positions",
        ),
        Wrong(
            name="to rms 1",
            answer=lambda std, d_model: 1 / std,
            hint="this gives tokens an rms of 1. Sines and cosines are at most 1; how large are they on average, in "
            "the root mean square?",
        ),
        Wrong(
            name="mean square for its root",
            answer=lambda std, d_model: 0.5 / std,
            hint="the mean of sin² is 1/2; what is the root of that mean?",
        ),
        Wrong(
            name="ratio of variances",
            answer=lambda std, d_model: 0.5 / std**2,
            hint="multiplying by a factor multiplies the mean square by its square: take the root of your ratio",
        ),
        Wrong(
            name="upside down",
            answer=lambda std, d_model: std / math.sqrt(0.5),
            hint="small tables need large factors: your ratio is upside down",
        ),
        Wrong(
            name="length of the vector",
            answer=lambda std, d_model: math.sqrt(d_model / 2) / std,
            hint="you compare the length of a whole position with the size of one entry of a token: take rms of both, "
            "or lengths of both",
        ),
        Wrong(
            name="to length 1",
            answer=lambda std, d_model: 1 / (std * math.sqrt(d_model)),
            hint="this makes token vectors of length 1; positions have length sqrt(d_model / 2)",
        ),
        Wrong(
            name="the size that comes out",
            answer=lambda std, d_model: std * math.sqrt(d_model),
            hint="this is how large tokens are after the usual factor; asked for is the factor that makes them as "
            "large as positions",
        ),
        Wrong(
            name="root of the width over std",
            answer=lambda std, d_model: math.sqrt(d_model) / std,
            hint="the rms is an average over the entries, so it does not grow with their number",
        ),
        Wrong(
            name="size of the positions alone",
            answer=lambda std, d_model: math.sqrt(0.5),
            hint="this is how large positions are; how large are the tokens before the factor?",
        ),
        Wrong(
            name="length of a position alone",
            answer=lambda std, d_model: math.sqrt(d_model / 2),
            hint="this is the length of a position vector; neither the rms of the table nor std is in it",
        ),
        Wrong(
            name="inverse root of the width",
            answer=lambda std, d_model: 1 / math.sqrt(d_model),
            hint="that would make tokens smaller as they get wider: does an average of squares change with the width?",
        ),
        Wrong(
            name="root of two on top",
            answer=lambda std, d_model: math.sqrt(2) / std,
            hint="sines and cosines are at most 1, so their rms cannot be above 1: what is the average of sin²?",
        ),
        Wrong(
            name="inverse variance",
            answer=lambda std, d_model: 1 / std**2,
            hint="std is a root already, the root of the mean square; and how large are the positions?",
        ),
        Wrong(
            name="root over everything",
            answer=lambda std, d_model: math.sqrt(0.5 / std),
            hint="the root belongs to the mean square of the positions; std is a root already",
        ),
        Wrong(
            name="mean of the absolute values",
            answer=lambda std, d_model: 2 / math.pi / std,
            hint="2/pi is the mean of |sin|; the rms squares first, and takes the root of the mean",
        ),
        Wrong(
            name="standard deviation of the positions",
            answer=lambda std, d_model: float(sinusoids(torch.arange(50), d_model).std()) / std,
            hint="a standard deviation leaves the mean out, and slow cosines have one: take the root of the mean "
            "square",
        ),
        Wrong(
            name="wrong sign",
            answer=lambda std, d_model: -math.sqrt(0.5) / std,
            hint="a negative factor turns every token around: is that needed to change its size?",
        ),
    ),
    notice="The width does not matter: sqrt(d_model) is right, up to a factor 0.7, only where std is 1/sqrt(d_model).",
)

# Logits [1, 2, 100], the right class is the first. The gradient of cross-entropy with respect to the logits is about
# (a) [0, 0, 0]: the softmax is saturated; (b) [-1, 0, 1]; (c) [-99, 1, 100]: it grows with the logits;
# (d) NaN: exp(100) overflows.
PREDICT_CONFIDENT = Exercise(
    id="symbols/predict-confident-mistake",
    title="Predict: the gradient of a confident mistake",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(
            name="a: saturated",
            answer="a",
            hint="the softmax by itself is flat here, but the loss takes the logarithm of a probability near 0, and "
            "the logarithm is steep there: which of the two wins?",
        ),
        Wrong(
            name="c: as large as the logits",
            answer="c",
            hint="the gradient is a difference of two sets of probabilities: how large can its entries get?",
        ),
        Wrong(
            name="d: overflow",
            answer="d",
            hint="the loss is computed from logits with the largest one subtracted first: which exponentials are left?",
        ),
    ),
    notice="Cross-entropy on logits never saturates at a mistake: no entry of the gradient is above 1; here one is 1.",
)
