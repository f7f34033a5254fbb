"""Exercise: weights that blind additive attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, number_text, read_tensor


def _vector(value: Any) -> Tensor:
    if callable(value) and not isinstance(value, Tensor):
        raise Trouble("is a function", "hand in the numbers themselves", expected="three numbers", got="a function")
    try:
        return read_tensor(torch.as_tensor(value, dtype=torch.float64))
    except Trouble:
        raise
    except Exception:  # ragged lists, strings, ...
        raise Trouble("is no vector", "write it as torch.tensor([..., ..., ...])", expected="three numbers",
                      got=type(value).__name__) from None  # fmt: skip


def _spread(v: Tensor) -> float:
    """How far apart the scores of 5 random states are, under 20 random queries, at most; in float64."""
    draw = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    query, states, w, u = normal(20, 4), normal(20, 5, 6), normal(4, 3), normal(6, 3)
    scores = torch.tanh((query @ w)[:, None] + states @ u) @ v
    return float((scores.amax(dim=-1) - scores.amin(dim=-1)).max())


def _blind(trial: Trial) -> Mismatch | None:
    v = trial.output
    if v.shape != (3,):
        return Mismatch("shape (3,)", f"shape {tuple(v.shape)}")
    spread = _spread(v)
    return None if spread == 0 else Mismatch("equal scores", f"scores up to {number_text(spread)} apart")


BREAK_ATTENTION = Exercise(
    id="recurrent/break-attention",
    title="Break it: blind the attention",
    answer="v",
    solution=torch.zeros(3),
    takes="value",
    read=_vector,
    properties=(
        Property(
            sentence="under any query and any states all shares are equal",
            test=_blind,
            hint="equal shares need equal scores, v . tanh(...), whatever stands inside the tanh",
        ),
    ),
    wrong=(
        Wrong(
            name="ones",
            answer=torch.ones(3),
            hint="equal entries of v do not make equal scores: they add up the three entries of tanh(...), which "
            "differ from state to state",
            recognise=lambda a: (
                _vector(a).shape == (3,) and float(_vector(a).std()) < 1e-6 and float(_vector(a).abs().max()) > 0.05
            ),
        ),
        Wrong(
            name="huge",
            answer=torch.tensor([1e3, -2e3, 3e3]),
            hint="large numbers sharpen: one state now takes everything. Go the other way, and all the way",
            recognise=lambda a: _vector(a).shape == (3,) and float(_vector(a).abs().max()) >= 20,
        ),
        Wrong(
            name="tiny",
            answer=torch.tensor([0.01, -0.01, 0.02]),
            hint="nearly: the scores are small and still differ",
            recognise=lambda a: _vector(a).shape == (3,) and 0 < float(_vector(a).abs().max()) <= 0.05,
        ),
        Wrong(
            name="one feature",
            answer=torch.tensor([1.0, 0.0, 0.0]),
            hint="one entry of the hidden layer still gets through, and it differs from state to state",
            recognise=lambda a: _vector(a).shape == (3,) and int((_vector(a) != 0).sum()) in (1, 2),
        ),
        Wrong(
            name="sums to zero",
            answer=torch.tensor([1.0, -2.0, 1.0]),
            hint="entries that add up to zero cancel only if the entries of tanh(...) are equal, and they are not",
            recognise=lambda a: _vector(a).shape == (3,) and abs(float(_vector(a).sum())) < 1e-6,
        ),
        Wrong(
            name="one per state",
            answer=torch.full((5,), 0.2),
            hint="v has one entry for each of the A = 3 entries of the hidden layer; shares come out of the softmax",
            recognise=lambda a: _vector(a).shape != (3,),
        ),
        Wrong(
            name="shares",
            answer=torch.tensor([0.5, 0.3, 0.2]),
            hint="v is not a list of shares, though these sum to 1: it multiplies the three entries of the hidden "
            "layer, whose values change with every state",
            recognise=lambda a: _vector(a).shape == (3,) and abs(float(_vector(a).sum()) - 1) < 1e-6,
        ),
    ),
    notice="A blind attention hands over the plain mean of the states: order and the question are lost.",
)
