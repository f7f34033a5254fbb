"""Exercises: a text moved along, curves without names, the reach of a window, four sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, read_letters, read_number, show

# A RoPE model trained on 64 characters reads 64 characters whose positions are counted from 5,000 instead of 0.
# (a) as bad as at the end of a text of 5,064 characters  (b) unchanged, up to rounding  (c) an error: there is no such
# position  (d) a little worse, because slow pairs have turned to new angles.
PREDICT_SHIFT = Exercise(
    id="lengths/predict-shift",
    title="Predict: a short text, far out",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(name="a: as bad as a long text", answer="a",
              hint="in a long text the numbers of the positions are large, and something else is large as well: which "
                   "of the two does a rotary score see?"),
        Wrong(name="c: an error", answer="c",
              hint="which scheme keeps a table with a last row, and which one computes what it needs?"),
        Wrong(name="d: new angles", answer="d",
              hint="queries and keys have both turned to new angles; what does their product depend on?"),
    ),
    notice="Only distances enter the scores, and none of them is larger than in training. Large positions do no harm "
    "to RoPE; large distances do.",
)  # fmt: skip

CURVES = {"A": "learned", "B": "rope", "C": "t5", "D": "alibi"}


def _read_curves(value: Any) -> dict[str, str]:
    try:
        curves = {str(key).strip().upper(): str(name).strip().lower() for key, name in dict(value).items()}
    except Exception:  # anything else
        raise Trouble("is no dictionary", 'write it as {"A": "rope", ...}', expected="a name for each of A, B, C, D",
                      got=show(value)) from None  # fmt: skip
    if sorted(curves) != list("ABCD"):
        raise Trouble("does not name four curves", "the keys are A, B, C and D",
                      expected="a name for each of A, B, C, D", got=show(value))  # fmt: skip
    if strange := sorted(set(curves.values()) - set(CURVES.values())):
        raise Trouble("names an unknown scheme", "the schemes are alibi, learned, rope and t5", expected="known names",
                      got=strange[0])  # fmt: skip
    return curves


def _all_curves(trial: Trial) -> Mismatch | None:
    wrong = sum(trial.output[key] != name for key, name in CURVES.items())
    return Mismatch("the scheme of each curve", f"{wrong} of 4 are another one's") if wrong else None


def _swapped(first: str, second: str) -> dict[str, str]:
    return CURVES | {first: CURVES[second], second: CURVES[first]}


def _misnamed(key: str) -> Callable[[Any], bool]:
    return lambda answer: _read_curves(answer)[key] != CURVES[key]


WHICH_CURVE = Exercise(
    id="lengths/which-curve",
    title="Which scheme made which row?",
    answer="schemes",
    solution=CURVES,
    takes="value",
    read=_read_curves,
    properties=(
        Property(sentence="each row has the name of its scheme", test=_all_curves,
                 hint="begin with the row that does not change, then with the one that jumps at once"),
    ),
    wrong=(
        Wrong(name="T5 and ALiBi", answer=_swapped("C", "D"),
              hint="C and D: one scheme has a bias that goes on falling with distance, in the other all far keys share "
                   "a few numbers, some of which training never touched"),
        Wrong(name="learned and RoPE", answer=_swapped("A", "B"),
              hint="A and B: which scheme breaks at the very first place beyond training, and which has a little "
                   "reserve because its slow pairs turn on smoothly?"),
        Wrong(name="RoPE and T5", answer=_swapped("B", "C"),
              hint="B and C: one of them ends worse than letter frequencies. What of a new distance does each scheme "
                   "meet for the first time?"),
        Wrong(name="RoPE does not change", answer=_swapped("B", "D"),
              hint="you take RoPE for the one that goes on as if nothing had happened: is it?"),
        Wrong(name="a table that does not mind", answer=_swapped("A", "D"),
              hint="what is in the rows of a learned table that training never reached?"),
        Wrong(name="learned and T5", answer=_swapped("A", "C"),
              hint="A and C: which of the two gives new vectors to the input at once, and which only a bias to the "
                   "farthest keys?"),
        Wrong(name="one name four times", answer=dict.fromkeys("ABCD", "alibi"),
              recognise=lambda answer: len(set(_read_curves(answer).values())) < 4,
              hint="each scheme made one of the rows"),
        Wrong(name="D wrong", answer={"A": "learned", "B": "alibi", "C": "rope", "D": "t5"}, recognise=_misnamed("D"),
              hint="begin with D, the row that stays level: whose bias knows every distance, however large?"),
        Wrong(name="A wrong", answer={"A": "rope", "B": "t5", "C": "learned", "D": "alibi"}, recognise=_misnamed("A"),
              hint="D is right. A jumps between two neighbouring pieces: whose input changes from one place to the "
                   "next?"),
    ),
    notice="A jump, a delayed fall, a slope, a level line: new vectors at once, new angles little by little, a few "
    "untrained buckets, a bias that only goes on.",
)  # fmt: skip


def _read_reach(value: Any) -> float:
    distance = read_number(value)
    if distance != int(distance) or distance < 1:
        raise Trouble("is no distance", "a distance is a whole number of characters, 1 or more",
                      expected="a whole number", got=show(value))  # fmt: skip
    return distance


def _near(low: float, high: float) -> Callable[[Any], bool]:
    return lambda answer: low <= _read_reach(answer) <= high


def _out_of_reach(trial: Trial) -> Mismatch | None:
    got = trial.output
    return Mismatch("a distance at which no change can arrive", f"{got:g}, where one can") if got < 127 else None


def _smallest(trial: Trial) -> Mismatch | None:
    got = trial.output
    return Mismatch("the smallest such distance", f"{got:g}, although a smaller one will do") if got > 127 else None


# Two layers, a window of 64 with the query's own character: the smallest distance from which nothing arrives.
BREAK_REACH = Exercise(
    id="lengths/break-reach",
    title="Break it: a needle that no window finds",
    answer="distance",
    solution=127,
    takes="value",
    read=_read_reach,
    properties=(
        Property(sentence="nothing arrives from so far back", test=_out_of_reach,
                 hint="follow the information backwards: how far does one layer look, and what has the layer below "
                      "put there?"),
        Property(sentence="one character nearer, something does", test=_smallest,
                 hint="how far back does each layer look, in characters? add up over the layers"),
    ),
    wrong=(
        Wrong(name="one layer", answer=64, recognise=_near(63, 65),
              hint="that is the reach of one layer: a character at the edge of the window may itself have looked "
                   "back, one layer below"),
        Wrong(name="last one inside", answer=126,
              hint="from there something still just arrives: asked is the first distance that is out of reach"),
        Wrong(name="own character forgotten", answer=128, recognise=_near(128, 129),
              hint="the window of 64 includes the character itself: how far back is its oldest one?"),
        Wrong(name="inputs counted as a layer", answer=190, recognise=_near(189, 193),
              hint="three times the window: embeddings and output look at one place each, only attention looks back"),
        Wrong(name="multiplied windows", answer=4096, recognise=_near(3969, 4097),
              hint="reaches add up from layer to layer, they do not multiply"),
        Wrong(name="inside the window", answer=32, recognise=_near(1, 62),
              hint="this character is in the window itself: the query may look straight at it"),
        Wrong(name="two hops", answer=100, recognise=_near(66, 125),
              hint="in two hops it can be reached: find a character between, at most 63 from either"),
        Wrong(name="far too far", answer=10_000, recognise=_near(130, 10**12),
              hint="nothing arrives from there, indeed, nor from much nearer: look for the edge"),
    ),
    notice="N layers with a window w reach N (w - 1) back. That information could travel so far does not mean that it "
    "does: in the measurement above the needle is lost much earlier.",
)  # fmt: skip

RIGHT = "badc"
_read_letters = read_letters(len(RIGHT), "abcdef")


def _each_right(trial: Trial) -> Mismatch | None:
    wrong = sum(got != want for got, want in zip(trial.output, RIGHT, strict=True))
    return Mismatch("the correction of each sentence", f"{wrong} of 4 do not fit") if wrong else None


def _not_right(i: int) -> Callable[[Any], bool]:
    return lambda answer: _read_letters(answer)[i] != RIGHT[i]


FOUR_SENTENCES = Exercise(
    id="lengths/four-sentences",
    title="Four sentences to correct",
    answer="corrections",
    solution=RIGHT,
    takes="value",
    read=_read_letters,
    properties=(
        Property(sentence="each correction fits its sentence", test=_each_right,
                 hint="take them one by one: what exactly is wrong with the sentence?"),
    ),
    wrong=(
        Wrong(name="Code LLaMA interpolated", answer="eadc", recognise=lambda answer: _read_letters(answer)[0] == "e",
              hint="sentence 1: that is what position interpolation does; Code LLaMA did something else"),
        Wrong(name="sinusoids again", answer="bfdc", recognise=lambda answer: "f" in _read_letters(answer),
              hint="f is a myth itself: single waves repeat, the table as a whole does not"),
        Wrong(name="the alphabet", answer="abcd",
              hint="these are the letters in order, as in the example of how to write the answer"),
        Wrong(name="third and fourth mixed", answer="bacd",
              hint="sentences 3 and 4 have got each other's corrections"),
        Wrong(name="first and second mixed", answer="abdc",
              hint="sentences 1 and 2 have got each other's corrections"),
        Wrong(name="first", answer="cadc", recognise=_not_right(0),
              hint="sentence 1 is about a change of RoPE followed by training on long texts: which change?"),
        Wrong(name="second", answer="bddc", recognise=_not_right(1),
              hint="sentence 1 is right. Sentence 2: a longer text brings something that RoPE did not meet in "
                   "training; what?"),
        Wrong(name="third", answer="baac", recognise=_not_right(2),
              hint="the first two are right. Sentence 3 is true of one scheme only: which one has a last row?"),
        Wrong(name="fourth", answer="bada", recognise=_not_right(3),
              hint="all but the last are right: reading on is not the same as remembering"),
    ),
    notice="None of the four sentences is absurd: each takes one part of the truth for the whole of it. Ask which of "
    "the three questions a sentence answers.",
)  # fmt: skip
