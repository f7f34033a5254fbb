"""Exercise: from which length on the quadratic part is the larger one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, named_case
from tftutor.exercises.values import Trouble, number_text, read_number, show

Pair = tuple[float, float]


def crossovers(d_model: int, d_ff: int) -> Pair:
    """Lengths at which the quadratic part of a block equals the linear part.

    d_model: width D; queries, keys and values together have the same width.
    d_ff: hidden width F of a feed-forward layer with two matrices.
    Returns two numbers of tokens: counting the attention layer alone (its
        four projections against scores and weighted values), and counting
        the whole block.
    """
    return 2 * d_model, 2 * d_model + d_ff


def _cases(_generator: torch.Generator) -> list[Case]:
    return [named_case(d_model=d, d_ff=f) for d, f in ((1, 4), (8, 32), (6, 15), (64, 171), (768, 3072))]


def _read(value: Any) -> Pair:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Trouble("returns the wrong kind of thing", "return two numbers: attention alone, whole block",
                      expected="two numbers", got=show(value))  # fmt: skip
    return tuple(read_number(item) for item in value)


def _at(place: int) -> Callable[[Trial], Mismatch | None]:
    def test(trial: Trial) -> Mismatch | None:
        wanted, got = crossovers(*trial.args)[place], trial.output[place]
        close = abs(wanted - got) < 1e-6 * wanted
        return None if close else Mismatch(number_text(wanted), number_text(got))

    return test


def _both(alone: Callable[[int, int], float], block: Callable[[int, int], float]) -> Callable[[int, int], Pair]:
    return lambda d_model, d_ff: (alone(d_model, d_ff), block(d_model, d_ff))


def _right(at: int) -> Callable[[int, int], float]:
    return lambda d_model, d_ff: crossovers(d_model, d_ff)[at]


CROSSOVERS = Exercise(
    id="efficient/crossovers",
    title="Where do the parts meet?",
    answer="crossovers",
    solution=crossovers,
    cases=_cases,
    read=_read,
    properties=(
        Property(sentence="the first length is that of the attention layer alone", test=_at(0),
                 hint="four projections cost 8 N D^2; what do scores and weighted values cost together?"),
        Property(sentence="the second length is that of the whole block", test=_at(1),
                 hint="add the two products of the feed-forward layer to the linear side, and solve for N"),
    ),
    wrong=(
        Wrong(name="always 6 D", answer=_both(_right(0), lambda d, f: 6 * d),
              hint="6 D is the whole block when the feed-forward layer is four times as wide as the stream: which "
                   "argument does your second number not use?"),
        Wrong(name="exchanged", answer=_both(_right(1), _right(0)),
              hint="the two are in the other order: more linear work means a longer text until the quadratic part "
                   "has caught up"),
        Wrong(name="the block twice", answer=_both(_right(1), _right(1)),
              hint="the feed-forward layer is no part of the attention layer: leave it out of the first number"),
        Wrong(name="attention twice", answer=_both(_right(0), _right(0)),
              hint="the second number is for the whole block: what else does every token pass through?"),
        Wrong(name="scores only", answer=_both(lambda d, f: 4 * d, lambda d, f: 4 * d + 2 * f),
              hint="twice too long: the scores are one quadratic product, and there is a second one"),
        Wrong(name="one product in the feed-forward layer", answer=_both(_right(0), lambda d, f: 2 * d + f / 2),
              hint="a feed-forward layer goes up and comes down again: how many products is that?"),
        Wrong(name="three projections", answer=_both(lambda d, f: 1.5 * d, lambda d, f: 1.5 * d + f),
              hint="queries, keys, values: is there a fourth projection in an attention layer?"),
        Wrong(name="additions on one side", answer=_both(lambda d, f: d, lambda d, f: d + f / 2),
              hint="half of it: a multiplication and an addition count as two on both sides or on neither"),
        Wrong(name="feed-forward only", answer=_both(_right(0), lambda d, f: f),
              hint="the block's linear part is the feed-forward layer *and* the projections"),
        Wrong(name="half the products", answer=_both(lambda d, f: 4 * d, lambda d, f: 4 * d + f),
              hint="on the quadratic side the scores are counted once, and the weighted values cost the same again"),
        Wrong(name="added to the ratio", answer=_both(_right(0), lambda d, f: 2 * d + 4 * f),
              hint="the widths are in: now divide 4 N D F, the cost of the feed-forward layer, by 4 N D"),
        Wrong(name="sum of squares", answer=_both(lambda d, f: 2 * d**2, lambda d, f: 2 * d**2 + d * f),
              hint="a factor of D is left: both sides have one, so it goes when you divide"),
        Wrong(name="6 D for the attention layer", answer=_both(lambda d, f: 6 * d, _right(1)),
              hint="the second is right. 6 D belongs to a whole block with F = 4 D: leave the feed-forward layer out "
                   "of the first"),
        Wrong(name="gated", answer=_both(_right(0), lambda d, f: 2 * d + 1.5 * f),
              hint="three products in the feed-forward layer: that is a gated one, and here it has two matrices"),
        Wrong(name="projections twice", answer=_both(_right(0), lambda d, f: 4 * d + f),
              hint="the first is right, and the second contains it once: what does the feed-forward layer add to it?"),
        Wrong(name="feed-forward layer twice", answer=_both(_right(0), lambda d, f: 2 * d + 2 * f),
              hint="the feed-forward part is twice too large: 4 N D F divided by the cost of both quadratic products"),
        Wrong(name="a projection lost in the block", answer=_both(_right(0), lambda d, f: 1.5 * d + f),
              hint="the first is right; the second lost one of the four projections"),
        Wrong(name="nothing divided", answer=_both(lambda d, f: 8 * d, lambda d, f: 8 * d + 4 * f),
              hint="this is the linear side divided by N D: the quadratic side, 4 N^2 D, has a factor of 4 as well"),
        Wrong(name="nothing divided in the block", answer=_both(_right(0), lambda d, f: 8 * d + 4 * f),
              hint="the first is right; for the second divide by 4, too, as you did there"),
        Wrong(name="twice the block", answer=_both(_right(0), lambda d, f: 4 * d + 2 * f),
              hint="the first is right, the second twice too long: did the quadratic side lose one of its products?"),
        Wrong(name="projections halved in the block", answer=_both(_right(0), lambda d, f: d + f),
              hint="the first is right; the second holds only half of the four projections"),
        Wrong(name="6 D twice", answer=_both(lambda d, f: 6 * d, lambda d, f: 6 * d),
              hint="6 D is one of the answers in the usual case F = 4 D: which of them, and what of other widths?"),
    ),
    notice="Heads appear nowhere: neither the number of heads nor their width moves the lengths, as long as all heads "
    "together are D wide.",
)  # fmt: skip
