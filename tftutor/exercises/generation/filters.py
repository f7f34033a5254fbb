"""Exercises: top-p and min-p."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, has_shape, named_case


def top_p(logits: Tensor, p: float) -> Tensor:
    """Probabilities (B, V), of the smallest set of likeliest tokens that holds `p`.

    logits: (B, V).
    p: the mass that the set must reach, 0 < p < 1.
    Tokens outside the set get 0; those inside keep their proportions, and every
    row adds up to 1.
    """
    probs = logits.softmax(dim=-1)
    ordered, index = probs.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered  # mass of the better tokens
    ordered = ordered.masked_fill(before >= p, 0.0)
    kept = torch.zeros_like(probs).scatter(-1, index, ordered)
    return kept / kept.sum(dim=-1, keepdim=True)


def min_p(logits: Tensor, p: float) -> Tensor:
    """Probabilities (B, V), of the tokens at least `p` times as likely as the best.

    logits: (B, V).
    p: a share of the best token's probability, 0 < p < 1.
    The other tokens get 0; those that stay keep their proportions, and every row
    adds up to 1.
    """
    probs = logits.softmax(dim=-1)
    near = probs >= p * probs.max(dim=-1, keepdim=True).values
    kept = probs.masked_fill(~near, 0.0)
    return kept / kept.sum(dim=-1, keepdim=True)


def _cases(amounts: tuple[float, ...]) -> Callable[[torch.Generator], list[Case]]:
    def cases(generator: torch.Generator) -> list[Case]:
        first = torch.tensor([[0.1, 0.5, 0.15, 0.25]]).log() + 0.4
        shapes = ((2, 5, 1.0), (3, 7, 2.0), (4, 9, 0.5), (5, 6, 4.0), (6, 8, 1.5))
        drawn = [torch.randn(rows, width, generator=generator) * spread - 1 for rows, width, spread in shapes]
        return [named_case(logits=x, p=p) for x, p in zip([first, *drawn], amounts, strict=True)]

    return cases


def _sums(trial: Trial) -> Mismatch | None:
    sums = trial.output.sum(dim=-1)
    worst = sums[(sums - 1).abs().argmax()]
    return None if abs(float(worst) - 1) < 1e-4 else Mismatch("rows that add up to 1", f"{float(worst):.3g}")


def _best_stays(trial: Trial) -> Mismatch | None:
    best = trial.args[0].argmax(dim=-1, keepdim=True)
    lost = int((trial.output.gather(-1, best) <= 0).sum())
    return None if not lost else Mismatch("the likeliest token of every row is kept", f"{lost} rows without it")


def _kept(rule: Callable[[Tensor, float], Tensor]) -> Callable[[Trial], Mismatch | None]:
    def test(trial: Trial) -> Mismatch | None:
        wanted, got = rule(*trial.args) > 0, trial.output > 0
        for row, (want, have) in enumerate(zip(wanted, got, strict=True)):
            if not torch.equal(want, have):
                ids = [mask.nonzero()[:, 0].tolist() for mask in (want, have)]
                return Mismatch(f"row {row} keeps the tokens {ids[0]}", f"{ids[1]}")
        return None

    return test


def _normal(kept: Tensor) -> Tensor:
    return kept / kept.sum(dim=-1, keepdim=True).clamp(min=1e-9)


def _by_order(drop: Callable[[Tensor, float], Tensor], *, back: bool = True, normal: bool = True,
              descending: bool = True) -> Callable[[Tensor, float], Tensor]:  # fmt: skip
    """top_p with another rule of what is dropped among sorted probabilities (B, V)."""

    def answer(logits: Tensor, p: float) -> Tensor:
        probs = logits.softmax(dim=-1)
        ordered, index = probs.sort(dim=-1, descending=descending)
        ordered = ordered.masked_fill(drop(ordered, p), 0.0)
        kept = torch.zeros_like(probs).scatter(-1, index, ordered) if back else ordered
        return _normal(kept) if normal else kept

    return answer


def _crossing(ordered: Tensor, p: float) -> Tensor:
    return ordered.cumsum(dim=-1) - ordered >= p


def _ratio(kept: Tensor) -> Tensor:
    """Without the care of `_normal`: a row of which nothing is left becomes NaN."""
    return kept / kept.sum(dim=-1, keepdim=True)


def _bar(rule: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """Keep the probabilities (B, V) that clear a bar, and divide by what is left, even if it is nothing."""
    return lambda logits, p: _ratio(logits.softmax(dim=-1).masked_fill(~rule(logits.softmax(dim=-1), p), 0.0))


def _careless(logits: Tensor, p: float) -> Tensor:
    return _ratio(_by_order(lambda x, p: x.cumsum(dim=-1) > p, normal=False)(logits, p))


def _unnormalised_mass(logits: Tensor, p: float) -> Tensor:
    ordered, index = logits.exp().sort(dim=-1, descending=True)
    return _normal(torch.zeros_like(logits).scatter(-1, index, ordered.masked_fill(_crossing(ordered, p), 0.0)))


def _keep_where(rule: Callable[[Tensor, Tensor, float], Tensor], *, normal: bool = True) -> Callable[..., Tensor]:
    """Keep what the rule says of (logits, probs, p)."""

    def answer(logits: Tensor, p: float) -> Tensor:
        probs = logits.softmax(dim=-1)
        kept = probs.masked_fill(~rule(logits, probs, p), 0.0)
        return _normal(kept) if normal else kept

    return answer


def _first_rows_set(logits: Tensor, p: float) -> Tensor:
    n = (top_p(logits, p)[0] > 0).sum()
    probs = logits.softmax(dim=-1)
    return _normal(probs.masked_fill(probs < probs.sort(dim=-1, descending=True).values[:, n - 1 : n], 0.0))


def _adds_up_to_one_in_all(answer: Callable[[Tensor, float], Tensor]) -> bool:
    """Whether two rows together, instead of each, add up to 1."""
    logits = torch.tensor([[0.1, 1.0, 0.4], [1.2, 0.2, 0.3]])
    return math.isclose(float(answer(logits, 0.5).sum()), 1.0, rel_tol=1e-4)


_SHAPE = has_shape("there is one probability for each token", lambda logits, p: tuple(logits.shape))
_SUMS = Property(sentence="every row adds up to 1", test=_sums, hint="what was cut off leaves a gap: who fills it?")
_BEST = Property(sentence="the likeliest token stays", test=_best_stays,
                 hint="whatever p is, something must be left to write: look at a row that is very sure")

TOP_P = Exercise(
    id="generation/top-p",
    title="Top-p",
    answer="top_p",
    solution=top_p,
    cases=_cases((0.7, 0.9, 0.6, 0.8, 0.5, 0.35)),
    properties=(
        _SHAPE, _SUMS, _BEST,
        Property(sentence="the set is the smallest that reaches p", test=_kept(top_p),
                 hint="take the tokens from the likeliest down: when is it enough?"),
        equals("what is left keeps its proportions", top_p,
               hint="a token twice as likely as another before must be so afterwards"),
    ),
    wrong=(
        Wrong(name="without the crossing token", answer=_by_order(lambda x, p: x.cumsum(dim=-1) > p),
              hint="the set stops short of p: the token with which the sum reaches p belongs to it"),
        Wrong(name="without the crossing token, nothing left", answer=_careless,
              hint="the set stops short of p, and where the best token alone has p nothing is left to divide by: the "
                   "token with which the sum reaches p belongs to it"),
        Wrong(name="one more than needed", answer=_by_order(
              lambda x, p: (x.cumsum(dim=-1) - x).roll(1, dims=-1).index_fill(-1, torch.tensor([0, 1]), 0.0) >= p),
              hint="p is reached already, and one more token is taken: that set is not the smallest"),
        Wrong(name="not renormalised", answer=_by_order(_crossing, normal=False),
              hint="what is left adds up to less than 1: give the missing mass to those that stay"),
        Wrong(name="left in sorted order", answer=_by_order(_crossing, back=False),
              hint="after sorting, column 0 is no longer token 0: bring each probability back to its place"),
        Wrong(name="p for a single token", answer=_keep_where(lambda logits, probs, p: probs >= p),
              hint="p is the mass of the whole set, not a bar that each token has to clear"),
        Wrong(name="p for a single token, nothing left", answer=_bar(lambda probs, p: probs >= p),
              hint="in an unsure row no token has p by itself, and nothing is left: p is what the set holds together"),
        Wrong(name="sums down the batch", answer=_by_order(lambda x, p: x.cumsum(dim=0) - x >= p),
              hint="the sum runs down the rows: axis 0 counts texts, the tokens lie along the last axis"),
        Wrong(name="divided by p", answer=lambda logits, p: _by_order(_crossing, normal=False)(logits, p) / p,
              hint="the set holds p or somewhat more: divide by what it really holds"),
        Wrong(name="divided by the whole batch", answer=lambda logits, p: top_p(logits, p) / len(logits),
              recognise=lambda answer: _adds_up_to_one_in_all(answer),
              hint="all rows together add up to 1: every row is a distribution of its own"),
        Wrong(name="the other mass", answer=lambda logits, p: top_p(logits, 1 - p),
              hint="this set holds 1 - p: with a large p nearly everything should be kept"),
        Wrong(name="no softmax", answer=_unnormalised_mass,
              hint="exp of a logit is no probability yet: the sum reaches p too soon or too late"),
        Wrong(name="bar, or the best", answer=_keep_where(
              lambda logits, probs, p: (probs >= p) | (probs == probs.max(dim=-1, keepdim=True).values)),
              hint="each token is compared with p by itself: p is about the sum of the likeliest ones"),
        Wrong(name="bar at 1 - p", answer=_keep_where(
              lambda logits, probs, p: (probs >= 1 - p) | (probs == probs.max(dim=-1, keepdim=True).values)),
              hint="1 - p is the most that all tokens cut off may have together, not each of them"),
        Wrong(name="not sorted", answer=_keep_where(lambda logits, probs, p: probs.cumsum(dim=-1) - probs < p),
              hint="the sum runs in the order of the vocabulary: which tokens should come first?"),
        Wrong(name="from the unlikely end", answer=_by_order(_crossing, descending=False),
              hint="the set starts with the unlikeliest tokens"),
        Wrong(name="a share of the tokens", answer=_by_order(
              lambda x, p: (torch.arange(x.shape[1]) >= max(1, round(p * x.shape[1]))).expand_as(x)),
              hint="p counts probability, not tokens: a sure row keeps fewer of them than an unsure one"),
        Wrong(name="the first row decides", answer=_first_rows_set,
              hint="how many tokens are kept differs from row to row"),
        Wrong(name="softmax once more", answer=lambda logits, p: top_p(logits, p).masked_fill(
              top_p(logits, p) == 0, -1e9).softmax(dim=-1),
              hint="the softmax of probabilities is nearly even: divide by what is left instead"),
        Wrong(name="sums of logits", answer=lambda logits, p: _normal(logits.softmax(dim=-1).masked_fill(
              logits.cumsum(dim=-1) - logits >= p, 0.0)),
              hint="logits have no mass to add up: make probabilities first"),
        Wrong(name="min-p", answer=min_p,
              hint="this compares each token with the best one; p is the mass that the set holds together"),
        Wrong(name="the rest", answer=_by_order(lambda x, p: ~_crossing(x, p)),
              hint="this keeps what should be cut off"),
        Wrong(name="mask in sorted order", answer=lambda logits, p: logits.masked_fill(
              _crossing(logits.softmax(dim=-1).sort(dim=-1, descending=True).values, p), -torch.inf).softmax(dim=-1),
              hint="which of the sorted ones are dropped is right, but the mask is laid over the unsorted row"),
        Wrong(name="gathered", answer=lambda logits, p: _by_order(_crossing, back=False)(logits, p).gather(
              -1, logits.argsort(dim=-1, descending=True)),
              hint="the index says where a sorted value came from, so values must be sent there, not fetched"),
        Wrong(name="masked logits", answer=lambda logits, p: logits.masked_fill(top_p(logits, p) == 0, -torch.inf),
              hint="the right tokens are cut off; these are still logits, and probabilities are asked for"),
        Wrong(name="softmax over the batch", answer=lambda logits, p: logits.softmax(dim=0),
              hint="the columns add up to 1 here, and the rows should"),
        Wrong(name="zeros and ones", answer=lambda logits, p: (top_p(logits, p) > 0).float(),
              hint="this says who is in the set: what are the probabilities of its members?"),
        Wrong(name="all alike", answer=lambda logits, p: _normal((top_p(logits, p) > 0).float()),
              hint="the set is right, and its members have lost their proportions: they are all alike"),
        Wrong(name="crossing token only if first", answer=_by_order(
              lambda x, p: (x.cumsum(dim=-1) > p).index_fill(-1, torch.tensor([0]), False)),
              hint="the best token is saved by force, and elsewhere the set still stops short of p"),
        Wrong(name="a token", answer=lambda logits, p: logits.argmax(dim=-1),
              hint="nothing is to be drawn yet: hand back the probabilities to draw from"),
        Wrong(name="nothing is cut", answer=lambda logits, p: logits.softmax(dim=-1),
              hint="every token is still there: nothing was cut off"),
    ),
    notice="Sure rows keep few tokens and unsure rows many: that is the difference to top-k.",
)  # fmt: skip
