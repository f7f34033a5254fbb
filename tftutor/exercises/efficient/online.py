"""Exercise: attention to two sets of keys, from attention to each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, named_case
from tftutor.exercises.values import Trouble, fresh, read_tensor, shape_text, show

PARTS = ("mixed", "top", "total")
Triple = tuple[Tensor, Tensor, Tensor]


def merge(a: Triple, b: Triple) -> Triple:
    """What is known after two pieces of the keys, from what each piece says.

    a, b: triples (mixed, top, total) of the same T queries:
        mixed (T, Dv): the sum over the piece's keys of exp(s - top) v
        top (T,): the largest score s in the piece
        total (T,): the sum over the piece's keys of exp(s - top)
    Returns the triple of all keys together. Scores can be as large as 10,000.
    """
    top = torch.maximum(a[1], b[1])
    shrink_a, shrink_b = (a[1] - top).exp(), (b[1] - top).exp()
    mixed = a[0] * shrink_a[:, None] + b[0] * shrink_b[:, None]
    return mixed, top, a[2] * shrink_a + b[2] * shrink_b


def _piece(scores: Tensor, values: Tensor) -> Triple:
    top = scores.amax(dim=-1)
    weights = (scores - top[:, None]).exp()
    return weights @ values, top, weights.sum(dim=-1)


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(n_queries: int, n_a: int, n_b: int, width: int, size: float) -> Case:
        def piece(n: int) -> Triple:
            return _piece(size * torch.randn(n_queries, n, generator=generator),
                          torch.randn(n, width, generator=generator))  # fmt: skip

        case = named_case(a=piece(n_a), b=piece(n_b))
        return Case(case.args, f"{n_queries} queries, pieces of {n_a} and {n_b} keys, scores around {size:g}")

    return [draw(1, 1, 1, 2, 1.0), draw(2, 3, 1, 4, 1.0), draw(4, 2, 6, 3, 3.0), draw(3, 5, 4, 2, 1000.0)]


def _read(value: Any) -> Triple:
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise Trouble("returns the wrong kind of thing", "return three tensors, as in a and b",
                      expected="mixed, top, total", got=show(value))  # fmt: skip
    return tuple(read_tensor(part) for part in value)


def _shapes(trial: Trial) -> Mismatch | None:
    for name, wanted, got in zip(PARTS, trial.args[0], trial.output, strict=True):
        if wanted.shape != got.shape:
            return Mismatch(f"{name} of shape {shape_text(wanted)}", f"shape {shape_text(got)}")
    return None


def _divided(trial: Trial) -> Mismatch | None:
    """Mixed / total is the attention to all keys."""
    mixed, _, total = merge(*fresh(trial.args))
    got_mixed, _, got_total = trial.output
    mismatch = compare(mixed / total[:, None], got_mixed / got_total[:, None])
    return mismatch and Mismatch(f"{mismatch.expected} in mixed / total", mismatch.got)


def _either_order(trial: Trial) -> Mismatch | None:
    a, b = trial.args
    for name, one, other in zip(PARTS, trial.output, trial.call(b, a), strict=True):
        if mismatch := compare(one, other):
            return Mismatch(f"{name}: {mismatch.expected}, as for merge(a, b)", mismatch.got)
    return None


def _is_the_solution(trial: Trial) -> Mismatch | None:
    for name, wanted, got in zip(PARTS, merge(*fresh(trial.args)), trial.output, strict=True):
        if mismatch := compare(wanted, got):
            return Mismatch(f"{name}: {mismatch.expected}", mismatch.got)
    return None


def _variant(
    *, top: str = "max", shrink: str = "both", mixed: bool = True, total: bool = True, returns: str = "sums"
) -> Callable[[Triple, Triple], Triple]:
    """`merge` with a slip."""

    def variant(a: Triple, b: Triple) -> Triple:
        new = {"max": torch.maximum(a[1], b[1]), "sum": a[1] + b[1], "a": a[1], "min": torch.minimum(a[1], b[1]),
               "mean": (a[1] + b[1]) / 2, "logaddexp": torch.logaddexp(a[1], b[1]),
               "row": torch.maximum(a[1], b[1]).max().expand_as(a[1])}[top]  # fmt: skip
        by_a, by_b = {
            "both": ((a[1] - new).exp(), (b[1] - new).exp()),
            "none": (torch.ones_like(new), torch.ones_like(new)),
            "wrong way": ((new - a[1]).exp(), (new - b[1]).exp()),
            "exchanged": ((b[1] - new).exp(), (a[1] - new).exp()),
            "only b": (torch.ones_like(new), (b[1] - new).exp()),
            "no exp": (a[1] - new, b[1] - new),
            "raw": (a[1].exp(), b[1].exp()),
        }[shrink]
        ones = torch.ones_like(new)
        mix_a, mix_b = (by_a, by_b) if mixed else (ones, ones)
        sum_a, sum_b = (by_a, by_b) if total else (ones, ones)
        out = a[0] * mix_a[:, None] + b[0] * mix_b[:, None]
        weight = a[2] * sum_a + b[2] * sum_b
        return {"sums": (out, new, weight), "divided": (out / weight[:, None], new, weight),
                "no top": (out, torch.zeros_like(new), weight),
                "order": (out, weight, new)}[returns]  # fmt: skip

    return variant


def _added(a: Triple, b: Triple, *, mixed_times_total: bool = False, divided: bool = False) -> Triple:
    """The sums added as they are, or with slips on top of that."""
    by_a, by_b = (a[2][:, None], b[2][:, None]) if mixed_times_total else (1.0, 1.0)
    mixed, total = a[0] * by_a + b[0] * by_b, a[2] + b[2]
    return mixed / total[:, None] if divided else mixed, torch.maximum(a[1], b[1]), total


def _then(change: Callable[[Triple, Triple, Triple], Triple]) -> Callable[[Triple, Triple], Triple]:
    """The right answer, then a slip."""
    return lambda a, b: change(merge(a, b), a, b)


def _by_softmax(a: Triple, b: Triple) -> Triple:
    share_a, share_b = torch.stack([a[1], b[1]]).softmax(dim=0)
    mixed = a[0] * share_a[:, None] + b[0] * share_b[:, None]
    return mixed, torch.maximum(a[1], b[1]), a[2] * share_a + b[2] * share_b


def _total_twice(a: Triple, b: Triple) -> Triple:
    return merge((a[0] * a[2][:, None], a[1], a[2]), (b[0] * b[2][:, None], b[1], b[2]))


def _base_two(a: Triple, b: Triple) -> Triple:
    top = torch.maximum(a[1], b[1])
    by_a, by_b = 2.0 ** (a[1] - top), 2.0 ** (b[1] - top)
    return a[0] * by_a[:, None] + b[0] * by_b[:, None], top, a[2] * by_a + b[2] * by_b


def _only_first(a: Triple, b: Triple) -> Triple:
    top = torch.maximum(a[1], b[1])
    by_a = (a[1] - top).exp()
    return a[0] * by_a[:, None] + b[0], top, a[2] * by_a + b[2]


def _averaged(a: Triple, b: Triple) -> Triple:
    """Both pieces finished, and their results averaged."""
    total = a[2] + b[2]
    return (a[0] / a[2][:, None] + b[0] / b[2][:, None]) / 2 * total[:, None], torch.maximum(a[1], b[1]), total


def _taken_for_finished(a: Triple, b: Triple) -> Triple:
    """As if mixed were the attention to the piece's keys."""
    mixed, top, total = _total_twice(a, b)
    return mixed / total[:, None], top, total


def _quotients(a: Triple, b: Triple) -> Triple:
    top = torch.maximum(a[1], b[1])
    by_a, by_b = (a[1] / top).exp(), (b[1] / top).exp()
    return a[0] * by_a[:, None] + b[0] * by_b[:, None], top, a[2] * by_a + b[2] * by_b


def _there_and_back(a: Triple, b: Triple) -> Triple:
    top = torch.maximum(a[1], b[1])
    mixed = a[0] * a[1].exp()[:, None] + b[0] * b[1].exp()[:, None]
    return mixed / top.exp()[:, None], top, (a[2] * a[1].exp() + b[2] * b[1].exp()) / top.exp()


def _always_first(a: Triple, b: Triple) -> Triple:
    shrink = (-(a[1] - b[1]).abs()).exp()
    return a[0] * shrink[:, None] + b[0], torch.maximum(a[1], b[1]), a[2] * shrink + b[2]


MERGE = Exercise(
    id="efficient/merge",
    title="Two pieces of a softmax",
    answer="merge",
    solution=merge,
    cases=_cases,
    read=_read,
    properties=(
        Property(sentence="the merged triple has the shapes of its parts", test=_shapes,
                 hint="top and total have one number for each query; give them a second axis where they meet mixed"),
        Property(sentence="mixed / total is attention to all keys at once", test=_divided,
                 hint="bring both pieces to the same top first: what does exp(s - top) become when top is raised?"),
        Property(sentence="the order of the pieces does not matter", test=_either_order,
                 hint="exchange a and b in every line of yours: which line notices?"),
        Property(sentence="the merged triple can be merged again", test=_is_the_solution,
                 hint="mixed / total is right: are mixed and total relative to the top that you return?"),
    ),
    wrong=(
        Wrong(name="just added", answer=_variant(shrink="none"),
              hint="the two sums are relative to different tops: a weight of 1 in one is not a weight of 1 in the "
                   "other"),
        Wrong(name="averaged", answer=_averaged,
              hint="each piece is finished and the results averaged: a piece of small scores then counts as much as "
                   "one of large scores"),
        Wrong(name="mixed not rescaled", answer=_variant(mixed=False),
              hint="total is brought to the new top and mixed is not: one is divided by the other later"),
        Wrong(name="total not rescaled", answer=_variant(total=False),
              hint="mixed is brought to the new top and total is not: the weights then do not add up to 1"),
        Wrong(name="the wrong way round", answer=_variant(shrink="wrong way"),
              hint="a higher top makes exp(s - top) smaller: your factors are larger than 1"),
        Wrong(name="factors exchanged", answer=_variant(shrink="exchanged"),
              hint="each piece is rescaled by the other's top: which piece has to shrink, that with the higher top?"),
        Wrong(name="first piece taken as the top", answer=_variant(top="a"),
              hint="right as long as scores are small; if the second piece has the larger score, exp overflows"),
        Wrong(name="smaller top", answer=_variant(top="min"),
              hint="relative to the smaller top exponents are positive, and exp(1000) is infinite"),
        Wrong(name="tops averaged", answer=_variant(top="mean"),
              hint="any common top is right on paper; with scores of 10,000 only one choice keeps every exponent at "
                   "0 or below"),
        Wrong(name="tops added", answer=_variant(top="sum"),
              hint="the top of both pieces is the largest score of both, not the sum of their tops"),
        Wrong(name="log-sum-exp of the tops", answer=_variant(top="logaddexp"),
              hint="any common reference would do for mixed / total; the docstring asks for the largest score"),
        Wrong(name="one top for all queries", answer=_variant(top="row"),
              hint="every query has a top of its own: a query with small scores loses everything next to one with "
                   "large scores"),
        Wrong(name="only the second rescaled", answer=_variant(shrink="only b"),
              hint="this is right only where the first piece has the larger top"),
        Wrong(name="exponential forgotten", answer=_variant(shrink="no exp"),
              hint="raising the top by t multiplies exp(s - top) by exp(-t): your factors are the differences "
                   "themselves"),
        Wrong(name="without any top", answer=_variant(shrink="raw"),
              hint="exp of a score of 1000 is infinite: the reason that there is a top"),
        Wrong(name="only the first rescaled", answer=_only_first,
              hint="this is right only where the second piece has the larger top"),
        Wrong(name="weighted by the totals", answer=lambda a, b: _added(a, b, divided=True),
              hint="each piece counts by its own total here; the totals are relative to different tops"),
        Wrong(name="multiplied by the totals", answer=lambda a, b: _added(a, b, mixed_times_total=True),
              hint="mixed holds the weights already: total is what it is divided by, at the very end"),
        Wrong(name="total twice", answer=_total_twice,
              hint="the tops are right; mixed holds the weights already, and you multiply by total once more"),
        Wrong(name="totals multiplied",
              answer=_then(lambda m, a, b: (m[0], m[1], a[2] * (a[1] - m[1]).exp() * b[2] * (b[1] - m[1]).exp())),
              hint="total is a sum over keys: the sums of two sets of keys are added, not multiplied"),
        Wrong(name="taken for finished", answer=_taken_for_finished,
              hint="you treat mixed as already divided: it holds undivided weights, which need no total"),
        Wrong(name="totals left out",
              answer=_then(lambda m, a, b: (m[0], m[1], (a[1] - m[1]).exp() + (b[1] - m[1]).exp())),
              hint="your total adds up the two factors only: how many keys' weights does each piece bring?"),
        Wrong(name="larger total", answer=_then(lambda m, a, b: (m[0], m[1], torch.maximum(a[2], b[2]))),
              hint="only for the top one takes the larger: totals are sums, to be rescaled and added"),
        Wrong(name="logarithm of the total", answer=_then(lambda m, a, b: (m[0], m[1], m[1] + m[2].log())),
              hint="the third is to be the sum itself, relative to top; yours is top plus its logarithm"),
        Wrong(name="quotients of the tops", answer=_quotients,
              hint="exp(s - m) to exp(s - top) is a factor of exp(m - top): a difference of tops, not a quotient"),
        Wrong(name="there and back", answer=_there_and_back,
              hint="right on paper, but exp of a score of 1000 is infinite on the way: go from one top to the other in "
                   "one step"),
        Wrong(name="always the first shrunk", answer=_always_first,
              hint="the piece with the *smaller* top has to shrink; yours is always the first, whichever is smaller"),
        Wrong(name="softmax of the tops", answer=_by_softmax,
              hint="mixed / total is right, because a common factor cancels; but the sums are no longer relative to "
                   "the top you return"),
        Wrong(name="finished", answer=_then(lambda m, a, b: (m[0] / m[2][:, None], m[1], torch.ones_like(m[2]))),
              hint="you divide at once and call the total 1: how much would this piece weigh in the next merge?"),
        Wrong(name="smaller top returned", answer=_then(lambda m, a, b: (m[0], torch.minimum(a[1], b[1]), m[2])),
              hint="the sums are relative to the larger top, and you return the smaller one"),
        Wrong(name="powers of two", answer=_base_two,
              hint="the weights are powers of e, and you rescale by powers of 2"),
        Wrong(name="side by side", answer=lambda a, b: tuple(torch.cat([x, y]) for x, y in zip(a, b, strict=True)),
              hint="the two pieces stand one after the other, as if they belonged to different queries"),
        Wrong(name="already divided", answer=_variant(returns="divided"),
              hint="mixed is divided by total already: the next merge could not tell how much it weighs"),
        Wrong(name="top lost", answer=_variant(returns="no top"),
              hint="the sums are right: relative to which top are they? The next merge has to know"),
        Wrong(name="top and total exchanged", answer=_variant(returns="order"),
              hint="compare the order of what you return with that of a and b"),
        Wrong(name="only the first", answer=lambda a, b: a,
              hint="the second piece plays no part: what it saw is left out"),
        Wrong(name="only the second", answer=lambda a, b: b,
              hint="the first piece plays no part: what it saw is forgotten"),
        Wrong(name="piece with the larger score wins", answer=lambda a, b: tuple(
            torch.where((a[1] >= b[1])[:, None] if x.ndim == 2 else a[1] >= b[1], x, y)
            for x, y in zip(a, b, strict=True)),
              hint="the piece with the larger top is kept and the other dropped: its keys have weight too"),
    ),
    notice="Nothing in the triple grows with the number of keys: that is the whole reason why exact attention fits "
    "into linear memory.",
)  # fmt: skip
