"""Exercise: which head looks at what came after an earlier occurrence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case


def induction_scores(weights: Tensor, tokens: Tensor) -> Tensor:
    """How much each head looks at what followed an earlier occurrence.

    weights: attention weights (B, H, T, T) of a causal stack; rows ask.
    tokens: int64 (B, T).
    Returns (H,): the weight that a query puts on the tokens right after
    earlier occurrences of its own token, added up, and averaged over all
    queries of the batch whose token has occurred before.
    """
    same = tokens[:, :, None] == tokens[:, None, :]  # (B, T, T)
    earlier = same.tril(-1)
    after = torch.zeros_like(earlier)
    after[:, :, 1:] = earlier[:, :, :-1]
    asks = earlier.any(dim=2)  # (B, T)
    score = (weights * after[:, None]).sum(dim=-1)  # (B, H, T)
    return score.transpose(1, 2)[asks].mean(dim=0)


def _weights(generator: torch.Generator, rows: int, heads: int, length: int) -> Tensor:
    scores = 2 * torch.randn(rows, heads, length, length, generator=generator)
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    return scores.masked_fill(hidden, float("-inf")).softmax(dim=-1)


def _cases(generator: torch.Generator) -> list[Case]:
    rows = (
        [[3, 4, 3, 5], [4, 4, 5, 3]],
        [[3, 4, 5, 3, 4, 3, 6], [5, 6, 3, 4, 7, 5, 5], [3, 3, 4, 6, 5, 7, 8]],
        [[3, 7, 4, 8, 3, 7, 4, 8, 4], [5, 6, 5, 8, 9, 5, 6, 6, 3], [3, 4, 5, 6, 7, 8, 9, 4, 4], [4, 6] * 4 + [3]],
    )
    heads = (3, 5, 2)
    return [named_case(weights=_weights(generator, len(row), n, len(row[0])), tokens=torch.tensor(row))
            for row, n in zip(rows, heads, strict=True)]  # fmt: skip


def _shape(trial: Trial) -> Mismatch | None:
    want, got = (trial.args[0].shape[1],), tuple(trial.output.shape)
    return None if want == got else Mismatch(f"shape {want}", f"shape {got}")


def _ideal(trial: Trial) -> Mismatch | None:
    """A head that puts all of its weight on the token after the first earlier occurrence scores 1."""
    weights, tokens = trial.args
    ideal = torch.zeros_like(weights)
    for b, row in enumerate(tokens.tolist()):
        for t, token in enumerate(row):
            ideal[b, :, t, row.index(token) + 1 if token in row[:t] else 0] = 1
    return compare(torch.ones(weights.shape[1]), trial.call(ideal, tokens))


def _pieces(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Earlier occurrences, what stands after them, and which queries have one."""
    earlier = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)
    after = torch.zeros_like(earlier)
    after[:, :, 1:] = earlier[:, :, :-1]
    return earlier, after, earlier.any(dim=2)


def _score(weights: Tensor, where: Tensor, asks: Tensor) -> Tensor:
    return (weights * where[:, None]).sum(dim=-1).transpose(1, 2)[asks].mean(dim=0)


def _last(mask: Tensor) -> Tensor:
    """Of each query only the latest key."""
    return mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)


def _first(mask: Tensor) -> Tensor:
    return mask & (mask.cumsum(-1) == 1)


def _before(earlier: Tensor) -> Tensor:
    out = torch.zeros_like(earlier)
    out[:, :, :-1] = earlier[:, :, 1:]
    return out


def _mean_of_means(w: Tensor, y: Tensor) -> Tensor:
    _, after, asks = _pieces(y)
    score, count = (w * after[:, None]).sum(-1) * asks[:, None], asks.sum(1)
    return (score.sum(-1) / count.clamp(min=1)[:, None]).mean(0)


def _previous(w: Tensor, y: Tensor) -> Tensor:
    asks = _pieces(y)[2]
    return w.diagonal(-1, 2, 3).transpose(1, 2)[asks[:, 1:]].mean(0)


def _wrong(name: str, hint: str, answer: Callable[[Tensor, Tensor], Any]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


INDUCTION_SCORES = Exercise(
    id="decoder-only/induction-scores",
    title="Find the induction head",
    answer="induction_scores",
    solution=induction_scores,
    cases=_cases,
    properties=(
        Property(sentence="there is one score for each head", test=_shape,
                 hint="average over rows and queries, and leave the axis of heads alone"),
        Property(sentence="a head that always looks after an earlier occurrence scores 1", test=_ideal,
                 hint="which keys count for a query whose token stood at places 0 and 2 before?"),
        equals("the scores are the weight on tokens after earlier occurrences", induction_scores,
               hint="take a text of four tokens, mark by hand the entries of the square that count, and add up"),
    ),
    wrong=(
        _wrong("the same token", "you look at the earlier occurrences themselves: what is worth knowing stands one "
               "place to the right", lambda w, y: _score(w, _pieces(y)[0], _pieces(y)[2])),
        _wrong("the token before", "you look one place to the left of the earlier occurrence, not to the right",
               lambda w, y: _score(w, _before(_pieces(y)[0]), _pieces(y)[2])),
        _wrong("the previous token", "that is the score of a head that looks at the token before the query, whatever "
               "it is", _previous),
        _wrong("all queries", "queries whose token is new can look nowhere: leave them out of the mean",
               lambda w, y: (w * _pieces(y)[1][:, None]).sum(-1).mean(dim=(0, 2))),
        _wrong("the latest only", "only the latest earlier occurrence counts in yours; all of them hold the answer",
               lambda w, y: _score(w, _last(_pieces(y)[1]), _pieces(y)[2])),
        _wrong("the first only", "only the first occurrence counts in yours; later ones hold the answer too",
               lambda w, y: _score(w, _first(_pieces(y)[1]), _pieces(y)[2])),
        _wrong("mean over keys", "weights of one query add up: a mean over the keys makes the score small and "
               "dependent on the length",
               lambda w, y: (w * _pieces(y)[1][:, None]).mean(-1).transpose(1, 2)[_pieces(y)[2]].mean(0)),
        _wrong("a sum", "the weights are added up over all queries: divide by how many of them ask",
               lambda w, y: (w * _pieces(y)[1][:, None]).sum(dim=(0, 2, 3))),
        _wrong("mean of means", "rows have unequal numbers of queries that ask, so a mean over rows weighs them "
               "unequally", _mean_of_means),
        _wrong("queries and keys", "queries and keys have changed places: rows of the square ask",
               lambda w, y: _score(w.mT, _pieces(y)[1], _pieces(y)[2])),
        _wrong("later occurrences", "a causal stack cannot see later occurrences: which half of the square counts?",
               lambda w, y: _score(w, torch.nn.functional.pad(
                   (y[:, :, None] == y[:, None, :]).triu(1)[:, :, :-1], (1, 0)), _pieces(y)[2])),
        _wrong("the largest", "the largest weight of each query, not the sum of those that count",
               lambda w, y: (w * _pieces(y)[1][:, None]).amax(-1).transpose(1, 2)[_pieces(y)[2]].mean(0)),
        _wrong("the first row", "only the first row of the batch is looked at",
               lambda w, y: _score(w[:1], _pieces(y)[1][:1], _pieces(y)[2][:1])),
        _wrong("one for all heads", "one number for all heads together; the heads are what you want to tell apart",
               lambda w, y: induction_scores(w, y).mean()),
        _wrong("one for each row", "one score for each row and head: average over the queries of all rows",
               lambda w, y: (w * _pieces(y)[1][:, None]).sum(-1).sum(-1) / _pieces(y)[2].sum(1).clamp(min=1)[:, None]),
        _wrong("the head", "the number of the best head alone; its score, and those of the others, are asked for",
               lambda w, y: induction_scores(w, y).argmax()),
        _wrong("same and after", "the earlier occurrences themselves count too in yours: only what follows them should",
               lambda w, y: _score(w, _pieces(y)[0] | _pieces(y)[1], _pieces(y)[2])),
        _wrong("how often on top", "you count how often the largest weight lies there; the weight itself is asked for",
               lambda w, y: _score((w == w.amax(-1, keepdim=True)).to(w), _pieces(y)[1], _pieces(y)[2])),
        _wrong("two after", "you look two places after the earlier occurrence: what followed it stands at the next one",
               lambda w, y: _score(w, torch.nn.functional.pad(_pieces(y)[0][:, :, :-2], (2, 0)), _pieces(y)[2])),
        _wrong("the query moved", "you move the marks one row down, to the next query; it is the key that moves",
               lambda w, y: _score(w, torch.nn.functional.pad(_pieces(y)[0][:, :-1], (0, 0, 1, 0)), _pieces(y)[2])),
        _wrong("mean over occurrences", "the weight on all of them is added up, not averaged: a head may share it out",
               lambda w, y: _score(w / _pieces(y)[1].sum(-1).clamp(min=1)[:, None, :, None], _pieces(y)[1],
                                   _pieces(y)[2])),
        _wrong("one for each query", "one score for each row, head and query: average over rows and queries",
               lambda w, y: (w * _pieces(y)[1][:, None]).sum(-1)),
        _wrong("the last query", "only the last query of each row is looked at: all that have an earlier occurrence "
               "count", lambda w, y: (w * _pieces(y)[1][:, None]).sum(-1)[:, :, -1].mean(0)),
        _wrong("the best score", "the best score alone: those of all heads are asked for",
               lambda w, y: induction_scores(w, y).max() * torch.ones(1)),
        _wrong("divided by the marks", "the sum is right; it is divided by the number of marked keys, not of queries "
               "that ask", lambda w, y: (w * _pieces(y)[1][:, None]).sum(dim=(0, 2, 3)) / _pieces(y)[1].sum()),
        _wrong("divided by rows", "the sum is right; it is divided by the number of rows: how many queries ask?",
               lambda w, y: (w * _pieces(y)[1][:, None]).sum(dim=(0, 2, 3)) / len(y)),
        _wrong("not its own place", "of a doubled token the second stands right after the first: that key is the "
               "query's own place, and counts too", lambda w, y: _score(
                   w, _pieces(y)[1] & ~torch.eye(y.shape[1], dtype=torch.bool), _pieces(y)[2])),
        _wrong("the token before it", "you compare the tokens before query and key; it is the query's own token that "
               "stood right before the key", lambda w, y: _score(
                   w, torch.nn.functional.pad(_pieces(y)[0][:, :-1, :-1], (1, 0, 1, 0)), _pieces(y)[2])),
        _wrong("the best query", "the best query of each head alone: the mean over queries is asked for",
               lambda w, y: (w * _pieces(y)[1][:, None]).sum(-1).amax(dim=(0, 2))),
        _wrong("per cent", "weights are shares from 0 to 1, and so is the score: not per cent",
               lambda w, y: 100 * induction_scores(w, y)),
        _wrong("a median", "the middle one of the scores: the mean over queries is asked for",
               lambda w, y: (w * _pieces(y)[1][:, None]).sum(-1).transpose(1, 2)[_pieces(y)[2]].quantile(0.5, 0)),
    ),
    notice="Olsson et al. call this the prefix matching score; with alternating pairs, it is all that is needed here.",
)  # fmt: skip
