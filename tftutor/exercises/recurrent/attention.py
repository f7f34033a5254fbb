"""Exercise: one step of additive attention."""

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
from tftutor.exercises.values import number_text

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
        has_shape(
            "there is one context per row, as wide as a state",
            lambda query, states, *_: (states.shape[0], states.shape[2]),
        ),
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
            answer=_variant(weigh=lambda s: torch.nn.functional.one_hot(s.argmax(dim=-1), s.shape[-1]).to(s.dtype)),
            hint="picking the best state has no gradient with respect to the scores; attention mixes all of them, "
            "each by its share",
        ),
        Wrong(
            name="weights returned",
            answer=lambda query, states, w, u, v: (torch.tanh((query @ w)[:, None] + states @ u) @ v).softmax(dim=-1),
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
        Wrong(
            name="product for the sum",
            answer=_variant(hidden=lambda q, m, w, u, v: torch.tanh((q @ w)[:, None] * (m @ u)) @ v),
            hint="the two products are multiplied here; the score is called additive because they are added",
        ),
        Wrong(
            name="sigmoid for tanh",
            answer=_variant(hidden=lambda q, m, w, u, v: ((q @ w)[:, None] + m @ u).sigmoid() @ v),
            hint="a sigmoid lies between 0 and 1; the formula has a function that is negative for negative inputs",
        ),
        Wrong(
            name="relu for tanh",
            answer=_variant(hidden=lambda q, m, w, u, v: ((q @ w)[:, None] + m @ u).relu() @ v),
            hint="the hidden layer of this formula is bounded on both sides: look at its function again",
        ),
        Wrong(
            name="v left out",
            answer=_variant(hidden=lambda q, m, w, u, v: torch.tanh((q @ w)[:, None] + m @ u).sum(dim=-1)),
            hint="the entries of the hidden layer are simply added up; v says how much each of them counts",
        ),
        Wrong(
            name="scaled",
            answer=_variant(hidden=lambda q, m, w, u, v: _scores(q, m, w, u, v) / v.shape[0] ** 0.5),
            hint="there is no division by a root in this formula: that belongs to another score",
        ),
        Wrong(
            name="dot product",
            answer=_variant(hidden=lambda q, m, w, u, v: ((q @ w)[:, None] * (m @ u)).sum(dim=-1)),
            hint="this compares by a dot product, without tanh and v: a score for a later chapter",
        ),
        Wrong(
            name="difference for the sum",
            answer=_variant(hidden=lambda q, m, w, u, v: torch.tanh((q @ w)[:, None] - m @ u) @ v),
            hint="the hidden layer holds the sum of the two products, not their difference",
        ),
        Wrong(
            name="mean of the weighted states",
            answer=_variant(mix=lambda p, states, u: (p[..., None] * states).mean(dim=1)),
            hint="the shares sum to 1 already: a mean over the states divides by S once more",
        ),
        Wrong(
            name="sum of the states",
            answer=lambda query, states, w, u, v: states.sum(dim=1),
            hint="all states are added up with the weight 1: where are the shares?",
        ),
        Wrong(
            name="sigmoid for softmax",
            answer=_variant(weigh=torch.sigmoid),
            hint="a sigmoid makes each score a share of its own; those of one word have to sum to 1",
        ),
        Wrong(
            name="exponentials without their sum",
            answer=_variant(weigh=torch.exp),
            hint="positive, but not yet shares: the exponentials of one word have to be divided by their sum",
        ),
        Wrong(
            name="softmax over everything",
            answer=_variant(weigh=lambda s: s.flatten().softmax(dim=0).view_as(s)),
            hint="your shares sum to 1 over the whole batch; each word has a whole of its own to divide",
        ),
        Wrong(
            name="the first state",
            answer=lambda query, states, w, u, v: states[:, 0],
            hint="this is the state at the first letter, whatever the query",
        ),
        Wrong(
            name="axis of one left over",
            answer=_variant(mix=lambda p, states, u: p[:, None] @ states),
            hint="the numbers are right, and an axis of size 1 is left over from the product: the context of a word "
            "is one vector",
        ),
        Wrong(
            name="states weighted and not added up",
            answer=_variant(mix=lambda p, states, u: p[..., None] * states),
            hint="each state is multiplied by its share; to mix them, add the S results up",
        ),
        Wrong(
            name="summed over the features",
            answer=_variant(mix=lambda p, states, u: (p[..., None] * states).sum(dim=-1)),
            hint="you add up the features of each state; a mixture adds up the states, feature by feature",
        ),
    ),
    notice="One number per state, compared with one query: nothing here depends on how many states there are.",
)
