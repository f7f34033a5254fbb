"""Exercises: one step of additive attention, and how to blind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
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
from tftutor.exercises.values import Trouble, number_text, read_tensor

Inputs = tuple[Any, ...]  # query, states, w, u, v


def additive_attention(query: Tensor, states: Tensor, w: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """One step of additive attention: what a decoder learns from all states.

    query: the decoder's state (B, D).  states: the encoder's states (B, S, E).
    w: (D, A).  u: (E, A).  v: (A,).
    The score of state j is v . tanh(query w + states_j u).
    Returns the context (B, E).
    """
    scores = torch.tanh((query @ w)[:, None] + states @ u) @ v
    weights = scores.softmax(dim=-1)
    return (weights[:, None] @ states)[:, 0]


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(b: int, s: int, d: int, e: int, a: int) -> Case:
        shapes = dict(query=(b, d), states=(b, s, e), w=(d, a), u=(e, a), v=(a,))
        return named_case(**{name: torch.randn(shape, generator=generator) for name, shape in shapes.items()})

    cases = [draw(1, 2, 3, 4, 5), draw(2, 3, 5, 4, 6), draw(3, 5, 2, 6, 4)]
    cases += [draw(*distinct_sizes(generator, 5, 2, 8)) for _ in range(2)]
    return [*cases, draw(4, 4, 4, 4, 4)]  # square: axes that meet by accident


def _equal_states_come_back(trial: Trial) -> Mismatch | None:
    query, states, *weights = trial.args
    same = states[:, :1].expand_as(states).contiguous()
    return compare(same[:, 0], trial.call(query, same, *weights))


def _ignores_order(trial: Trial) -> Mismatch | None:
    query, states, *weights = trial.args
    return compare(trial.output, trial.call(query, states.flip(1), *weights))


def _stays_between(trial: Trial) -> Mismatch | None:
    states = trial.args[1]
    low, high = states.amin(dim=1) - 1e-3, states.amax(dim=1) + 1e-3
    outside = (trial.output < low) | (trial.output > high)
    if not outside.any():
        return None
    where = outside.nonzero()[0].tolist()
    b, e = where
    return Mismatch(f"{number_text(float(low[b, e]))} to {number_text(float(high[b, e]))} at {where}",
                    number_text(float(trial.output[b, e])))  # fmt: skip


def _scores(query: Tensor, states: Tensor, w: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return torch.tanh((query @ w)[:, None] + states @ u) @ v


def _variant(
    *,
    hidden: Callable[..., Tensor] | None = None,
    weigh: Callable[[Tensor], Tensor] = lambda s: s.softmax(dim=-1),
    mix: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda p, states, u: (p[:, None] @ states)[:, 0],
) -> Callable[..., Tensor]:
    """Additive attention with one of its steps replaced."""

    def variant(query: Tensor, states: Tensor, w: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return mix(weigh((hidden or _scores)(query, states, w, u, v)), states, u)

    return variant


ADDITIVE_ATTENTION = Exercise(
    id="recurrent/additive-attention",
    title="One step of additive attention",
    answer="additive_attention",
    solution=additive_attention,
    cases=_cases,
    properties=(
        has_shape("there is one context per row, as wide as a state", lambda query, states, *_: (
            states.shape[0], states.shape[2])),
        Property(
            sentence="the shares sum to 1: when all states of a row are equal, the context is that state",
            test=_equal_states_come_back,
            hint="the scores of one row have to become shares of one whole, spread over its S states",
        ),
        Property(
            sentence="no share is negative: each feature of the context lies between its smallest and largest value",
            test=_stays_between,
            hint="a mixture of the states with positive shares cannot leave the range of the states",
        ),
        Property(
            sentence="the order in which the states are listed does not matter",
            test=_ignores_order,
            hint="each state carries its own score along: nothing may depend on the place where it is listed",
        ),
        equals(
            "the context is the mixture that the formula gives",
            additive_attention,
            hint="compute one score by hand: two products, a sum, a tanh for each of A entries, a product with v",
        ),
    ),
    wrong=(
        Wrong(
            name="softmax over the batch",
            answer=_variant(weigh=lambda s: s.softmax(dim=0)),
            hint="your shares sum to 1 over the rows of the batch: words would compete with one another. Who should "
            "compete for the decoder's attention?",
        ),
        Wrong(
            name="only the last state",
            answer=lambda query, states, w, u, v: states[:, -1],
            hint="this hands over the encoder's last state, whatever the query: that is the network without attention",
        ),
        Wrong(
            name="plain mean",
            answer=lambda query, states, w, u, v: states.mean(dim=1),
            hint="all states count alike here; the query and the three weights should decide how much each counts",
        ),
        Wrong(
            name="no tanh",
            answer=_variant(hidden=lambda q, m, w, u, v: ((q @ w)[:, None] + m @ u) @ v),
            hint="without the tanh the query adds the same number to every score of its row, which a softmax ignores: "
            "every query would read the same",
        ),
        Wrong(
            name="query left out",
            answer=_variant(hidden=lambda q, m, w, u, v: torch.tanh(m @ u) @ v),
            hint="your shares do not depend on the decoder's state: every step would read the same",
        ),
        Wrong(
            name="tanh after v",
            answer=_variant(hidden=lambda q, m, w, u, v: torch.tanh(((q @ w)[:, None] + m @ u) @ v)),
            hint="the tanh belongs to the hidden layer of width A, before v adds it up to one score",
        ),
        Wrong(
            name="no softmax",
            answer=_variant(weigh=lambda s: s),
            hint="these are scores, some of them negative; what turns the scores of a row into shares?",
        ),
        Wrong(
            name="shares that lost the exponential",
            answer=_variant(weigh=lambda s: s / s.sum(dim=-1, keepdim=True)),
            hint="dividing by the sum makes the shares add up, but a negative score is still a negative share",
        ),
        Wrong(
            name="softmax over the hidden layer",
            answer=_variant(
                hidden=lambda q, m, w, u, v: torch.tanh((q @ w)[:, None] + m @ u).softmax(dim=-1) @ v,
                weigh=lambda s: s,
            ),
            hint="the competition is among the S states, after v has made one score of each, not among the A entries "
            "of the hidden layer",
        ),
        Wrong(
            name="best state only",
            answer=_variant(
                weigh=lambda s: torch.nn.functional.one_hot(s.argmax(dim=-1), s.shape[-1]).to(s.dtype)
            ),
            hint="picking the best state has no gradient with respect to the scores; attention mixes all of them, "
            "each by its share",
        ),
        Wrong(
            name="weights returned",
            answer=lambda query, states, w, u, v: (
                torch.tanh((query @ w)[:, None] + states @ u) @ v
            ).softmax(dim=-1),
            hint="these are the shares, one per state; what are they shares of?",
        ),
        Wrong(
            name="hidden layer mixed instead of states",
            answer=_variant(mix=lambda p, states, u: (p[:, None] @ (states @ u))[:, 0]),
            hint="u is there to compare; what is handed over are the states themselves",
        ),
        Wrong(
            name="query spread over the wrong axis",
            answer=_variant(hidden=lambda q, m, w, u, v: torch.tanh(q @ w + m @ u) @ v),
            hint="query w is (B, A) and states u is (B, S, A): give the first an axis of size 1, in the place of S. "
            "When B equals S your sum runs and pairs the wrong words",
        ),
    ),
    notice="One number per state, compared with one query: nothing here depends on how many states there are.",
)


def _vector(value: Any) -> Tensor:
    if callable(value) and not isinstance(value, Tensor):
        raise Trouble("is a function", "hand in the numbers themselves", expected="three numbers", got="a function")
    try:
        return read_tensor(torch.as_tensor(value, dtype=torch.float32))
    except Trouble:
        raise
    except Exception:  # ragged lists, strings, ...
        raise Trouble("is no vector", "write it as torch.tensor([..., ..., ...])", expected="three numbers",
                      got=type(value).__name__) from None  # fmt: skip


def _spread(v: Tensor) -> float:
    """How far the shares of 5 random states, under 20 random queries, are from 1/5 at most."""
    draw = torch.Generator().manual_seed(1)
    query, states = torch.randn(20, 4, generator=draw), torch.randn(20, 5, 6, generator=draw)
    w, u = torch.randn(4, 3, generator=draw), torch.randn(6, 3, generator=draw)
    weights = (torch.tanh((query @ w)[:, None] + states @ u) @ v).softmax(dim=-1)
    return float((weights - 0.2).abs().max())


def _blind(trial: Trial) -> Mismatch | None:
    v = trial.output
    if v.shape != (3,):
        return Mismatch("shape (3,)", f"shape {tuple(v.shape)}")
    spread = _spread(v)
    return None if spread < 1e-4 else Mismatch("shares of 0.2 each", f"shares off by {number_text(spread)}")


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
            recognise=lambda a: _vector(a).shape == (3,) and float(_vector(a).std()) < 1e-6
            and float(_vector(a).abs().max()) > 0.05,
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
    ),
    notice="A blind attention hands over the plain mean of the states: order and the question are lost.",
)
