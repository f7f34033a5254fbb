"""Exercises: when dot product and cosine put the keys in the same order, and when they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import number_text, read_bool, read_matrix, show


def same_ranking(k: Tensor) -> bool:
    """Do dot product and cosine rank these keys alike, whatever the query?

    k: keys (S, D), none of them zero.
    Returns True if q . k_j and cos(q, k_j) order the keys in the same way for
    every query q (up to rounding: allow relative errors of 1e-4).
    """
    lengths = k.norm(dim=-1)
    return bool((lengths - lengths[0]).abs().max() < 1e-4 * lengths[0])


def _unit(k: Tensor) -> Tensor:
    return k / k.norm(dim=-1, keepdim=True)


def _ranking_cases(generator: torch.Generator) -> list[Case]:
    def draw(s: int, d: int) -> Tensor:
        return torch.randn(s, d, generator=generator)

    tables = [
        torch.tensor([[3.0, 4.0]]),  # a single key: nothing to order
        torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        torch.tensor([[3.0, 4.0], [5.0, 0.0]]),  # equal lengths, other than 1
        torch.tensor([[1.0, 0.0], [2.0, 0.0]]),  # same direction: the cosine sees a tie
        torch.tensor([[2.0, 0.0], [0.0, 1.0]]),  # orthogonal
        torch.tensor([[1.0, 3.0], [2.0, 2.0]]),  # equal sums
        torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]),  # first and last alike
        _unit(draw(5, 3)),
        2.5 * _unit(draw(4, 7)) * (1 + 1e-6 * draw(4, 1)),  # alike up to rounding
        torch.tensor([[3.0, 4.0], [5.0, 0.0], [1.0, 1.0]]),  # the first two alike
        torch.tensor([[2.0, 1.0], [2.0, 0.0], [0.0, 2.0]]),  # equal largest entries
        torch.tensor([[1.001, 0.0], [0.0, 1.0]]),  # nearly alike: hardly any query tells them apart
        draw(6, 4),
    ]
    return [Case((table,), f"k = {show(table)}") for table in tables]


def _right_verdict(trial: Trial) -> Mismatch | None:
    truth = same_ranking(trial.args[0])
    if trial.output == truth:
        return None
    reason = "no query tells them apart" if truth else "some query does"
    return Mismatch(f"{truth} ({reason})", str(trial.output))


def _all_close(values: Tensor) -> bool:
    return bool((values - values[0]).abs().max() < 1e-4 * values[0].abs().max().clamp(min=1e-6))


def _one_query_agrees(k: Tensor) -> bool:
    q = torch.ones(k.shape[-1])
    return bool(((k @ q).argsort() == (_unit(k) @ q).argsort()).all())


def _random_queries_agree(k: Tensor) -> bool:
    q = torch.randn(100, k.shape[-1], generator=torch.Generator().manual_seed(0))
    return bool(((q @ k.T).argsort() == (q @ _unit(k).T).argsort()).all())


SAME_RANKING = Exercise(
    id="scores/same-ranking",
    title="When do dot product and cosine agree?",
    answer="same_ranking",
    solution=same_ranking,
    cases=_ranking_cases,
    read=read_bool,
    properties=(
        Property(
            sentence="the verdict on these keys is right",
            test=_right_verdict,
            hint="write cos(q, k) as q . k divided by two lengths: which of them differs from key to key?",
        ),
    ),
    wrong=(
        Wrong(
            name="length one",
            answer=lambda k: _all_close(torch.cat([k.norm(dim=-1), torch.ones(1)])),
            hint="keys of length 1 are enough, but [3, 4] and [5, 0] will do as well: what do they have in common?",
        ),
        Wrong(
            name="exactly equal lengths",
            answer=lambda k: len(k.norm(dim=-1).unique()) == 1,
            hint="lengths are computed in floating point: equal ones may differ in the last digit",
        ),
        Wrong(
            name="only first and last",
            answer=lambda k: _all_close(k.norm(dim=-1)[[0, -1]]),
            hint="one pair of keys was compared; a loud key in the middle is enough to part the two orders",
        ),
        Wrong(
            name="only the first two",
            answer=lambda k: _all_close(k.norm(dim=-1)[:2]),
            hint="the first two keys were compared, and the others?",
        ),
        Wrong(
            name="norm over the wrong axis",
            answer=lambda k: _all_close(k.norm(dim=0)),
            hint="you measure the columns; a key is a row",
        ),
        Wrong(
            name="largest entry",
            answer=lambda k: _all_close(k.abs().amax(dim=-1)),
            hint="the largest entry is not the length: [2, 1] is longer than [2, 0]",
        ),
        Wrong(
            name="tried on random queries",
            answer=_random_queries_agree,
            hint="keys of lengths 1 and 1.001 are told apart by one query in some thousands: no sample finds it, a "
            "look at the formula does",
        ),
        Wrong(
            name="the keys as queries",
            answer=lambda k: bool(((k @ k.T).argsort() == (k @ _unit(k).T).argsort()).all()),
            hint="you let the keys themselves ask; other queries may tell them apart",
        ),
        Wrong(
            name="identical keys",
            answer=lambda k: bool((k - k[0]).abs().max() < 1e-4),
            hint="keys may point in different directions, which is what both scores are meant to tell apart",
        ),
        Wrong(
            name="same direction",
            answer=lambda k: _all_close(_unit(k)),
            hint="with one direction for all, the cosine sees nothing but ties while the dot product prefers long keys",
        ),
        Wrong(
            name="sum of entries",
            answer=lambda k: _all_close(k.sum(dim=-1)),
            hint="the sum of the entries is not the length: [1, 3] and [2, 2] have equal sums",
        ),
        Wrong(
            name="tried on one query",
            answer=_one_query_agrees,
            hint="for one query the two orders may agree by luck; the question is about every query",
        ),
        Wrong(
            name="orthogonal keys",
            answer=lambda k: bool((k @ k.T - torch.diag((k * k).sum(-1))).abs().max() < 1e-4),
            hint="with k_1 = [2, 0] and k_2 = [0, 1] try q = [1, 1.5]: right angles do not help",
        ),
        Wrong(
            name="always",
            answer=lambda k: True,
            hint="the cosine divides by the length of the key, and that may differ from key to key",
        ),
        Wrong(
            name="never",
            answer=lambda k: False,
            hint="divide all scores of a row by the same number, and their order stays: when does the cosine do just "
            "that?",
        ),
    ),
    notice="Equal lengths, and then the negative distance agrees too; a model that normalises keys has no loud ones.",
)

_QUERY = torch.tensor([1.0, 0.0], dtype=torch.float64)


def _dot(k: Tensor) -> Tensor:
    return k @ _QUERY


def _cosine(k: Tensor) -> Tensor:
    return k @ _QUERY / k.norm(dim=-1).clamp(min=1e-12)


def _distance(k: Tensor) -> Tensor:
    return -(k - _QUERY).square().sum(dim=-1)


def _prefers(score: Callable[[Tensor], Tensor], winner: int, name: str) -> Callable[[Trial], Mismatch | None]:
    """Whether `score` puts key `winner` first, with something to spare."""

    def test(trial: Trial) -> Mismatch | None:
        k = trial.output
        if k.shape != (2, 2):
            return Mismatch("shape (2, 2): two keys", f"shape {tuple(k.shape)}")
        values = score(k)
        if values[winner] > values[1 - winner] + 1e-6:
            return None
        told = " and ".join(number_text(round(float(value), 3)) for value in values)
        return Mismatch(f"a larger {name} with key {winner + 1}", told)

    return test


def _fails(score: Callable[[Tensor], Tensor], winner: int) -> Callable[[Any], bool]:
    def recognise(answer: Any) -> bool:
        k = read_matrix(answer)
        return k.shape == (2, 2) and not bool(score(k)[winner] > score(k)[1 - winner] + 1e-6)

    return recognise


def _swapped(answer: Any) -> bool:
    k = read_matrix(answer)
    return k.shape == (2, 2) and all(bool(score(k)[i] < score(k)[1 - i]) for score, i in ((_dot, 0), (_cosine, 1)))


BREAK_RANKING = Exercise(
    id="scores/break-ranking",
    title="Break it: a loud key",
    answer="k",
    solution=torch.tensor([[3.0, 3.0], [1.0, 0.0]]),
    takes="value",
    read=read_matrix,
    properties=(
        Property(
            sentence="the dot product of [1, 0] is larger with the first key",
            test=_prefers(_dot, 0, "dot product"),
            hint="a dot product grows with the length of the key",
        ),
        Property(
            sentence="the cosine with [1, 0] is larger for the second key",
            test=_prefers(_cosine, 1, "cosine"),
            hint="the cosine looks at the direction only",
        ),
        Property(
            sentence="the second key is nearer to [1, 0]",
            test=_prefers(_distance, 1, "score -|q - k|^2"),
            hint="how far is each key from the query?",
        ),
    ),
    wrong=(
        Wrong(
            name="keys exchanged",
            answer=torch.tensor([[1.0, 0.0], [3.0, 3.0]]),
            hint="the other way round: the loud key comes first",
            recognise=_swapped,
        ),
        Wrong(
            name="two directions of one length",
            answer=torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
            hint="keys of equal length are ranked alike by dot product, cosine and distance: make one of them louder",
            recognise=lambda answer: _all_close(read_matrix(answer).norm(dim=-1)),
        ),
        Wrong(
            name="longer, same direction",
            answer=torch.tensor([[2.0, 0.0], [1.0, 0.0]]),
            hint="the first key is louder, and points exactly where the query points: turn it away",
            recognise=lambda answer: _fails(_cosine, 1)(answer) and float(_cosine(read_matrix(answer))[0]) > 0.999,
        ),
        Wrong(
            name="second key turned away",
            answer=torch.tensor([[3.0, 3.0], [0.0, 1.0]]),
            hint="the second key points farther away from the query than the first: which of the two should point "
            "where the query does?",
            recognise=_fails(_cosine, 1),
        ),
        Wrong(
            name="the second key is far too short",
            answer=torch.tensor([[1.2, 0.3], [0.1, 0.0]]),
            hint="dot product and cosine disagree already; but the second key lies so far from the query that the "
            "first one is nearer",
            recognise=_fails(_distance, 1),
        ),
        Wrong(
            name="first key turned too far",
            answer=torch.tensor([[0.0, 5.0], [1.0, 0.0]]),
            hint="a key at a right angle scores 0, however long: turn it away less",
            recognise=lambda answer: _fails(_dot, 0)(answer) and float(_dot(read_matrix(answer))[0]) <= 0,
        ),
        Wrong(
            name="first key not loud enough",
            answer=torch.tensor([[1.0, 1.0], [1.0, 0.0]]),
            hint="the first key's part in the direction of the query is no larger than the second's: make it longer",
            recognise=_fails(_dot, 0),
        ),
        Wrong(
            name="three keys",
            answer=torch.tensor([[3.0, 3.0], [1.0, 0.0], [0.0, 1.0]]),
            hint="two keys of two features each: k is 2 by 2",
            recognise=lambda answer: read_matrix(answer).shape != (2, 2),
        ),
    ),
    notice="A key can win by being loud. Cosine and distance scores close that door; training may want it open.",
)
