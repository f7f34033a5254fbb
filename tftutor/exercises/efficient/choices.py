"""Exercises: how far windows reach, which method gives up what, and what FlashAttention saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, read_letters, show

# A causal stack has 6 layers, each with a window of 4 keys (a token itself and 3 before it). How many tokens, itself
# included, can influence the last state of token 100?  (a) 4  (b) 24  (c) 19  (d) 4096  (e) all 101.
PREDICT_REACH = Exercise(
    id="efficient/predict-reach",
    title="Predict: how far does a stack of windows see?",
    answer="prediction",
    solution="c",
    takes="value",
    read=read_choice,
    properties=(is_option("c", "abcde"),),
    wrong=(
        Wrong(name="a: 4", answer="a",
              hint="that is one layer: but the token three places back had a window of its own in the layer below"),
        Wrong(name="b: 24", answer="b",
              hint="nearly: 6 windows of 4 laid end to end, but each shares a token with the next. Draw two layers"),
        Wrong(name="d: 4096", answer="d",
              hint="4 to the power of 6 counts paths: how many different tokens do they end at?"),
        Wrong(name="e: all", answer="e",
              hint="each layer reaches only 3 places further back: how far do 6 of them get?"),
    ),
    notice="Each layer adds w - 1 tokens: L (w - 1) + 1 in all.",
)

METHODS = ("blockwise", "window", "global + local", "LSH", "Linformer", "linear")
_read_letters = read_letters(len(METHODS), "abcdef")
MATCHED = "dbfaec"


def _matched(trial: Trial) -> Mismatch | None:
    wrong = sum(got != want for got, want in zip(trial.output, MATCHED, strict=True))
    return Mismatch("each method with what it gives up", f"{wrong} of 6 differ") if wrong else None


def _misses(place: int) -> Callable[[Any], bool]:
    return lambda answer: _read_letters(answer)[place] != MATCHED[place]


MATCH = Exercise(
    id="efficient/match",
    title="Which method, which price?",
    answer="letters",
    solution=MATCHED,
    takes="value",
    read=_read_letters,
    properties=(
        Property(sentence="each method stands with its cost and its price", test=_matched,
                 hint="begin with the method that gives up nothing"),
    ),
    wrong=(
        Wrong(name="same letter for all", answer="aaaaaa",
              recognise=lambda answer: len(set(_read_letters(answer))) == 1,
              hint="each letter belongs to one method"),
        Wrong(name="window and global exchanged", answer="dfbaec",
              hint="four are right. A window by itself can be causal; what about a token that reads the whole text and "
                   "is read by all of it?"),
        Wrong(name="Linformer and LSH exchanged", answer="dbfeac",
              hint="which of the two sorts tokens into buckets, and which has a matrix with one column per position?"),
        Wrong(name="Linformer and linear exchanged", answer="dbface",
              hint="\"linear\" is in both names: which has matrices that fix the length, and which has no softmax?"),
        Wrong(name="LSH and linear exchanged", answer="dbfcea",
              hint="which of the two needs queries to equal keys, so that those that attend to each other hash alike?"),
        Wrong(name="blockwise and linear exchanged", answer="cbfaed",
              hint="going block by block changes the order of a sum and nothing else; which one changes the weights?"),
        Wrong(name="blockwise and window exchanged", answer="bdfaec",
              hint="blocks of keys are not a window: blockwise attention visits all of them, one after the other"),
        Wrong(name="in the order of the letters", answer="abcdef",
              hint="these are the letters in order: read what stands behind each"),
        Wrong(name="blockwise wrong", answer="abfaec", recognise=_misses(0),
              hint="begin with the first: blockwise attention computes the very same numbers. What does it not save?"),
        Wrong(name="window wrong", answer="dafaec", recognise=_misses(1),
              hint="the first is right. The second: what can a query of one layer not see?"),
        Wrong(name="global + local wrong", answer="dbaaec", recognise=_misses(2),
              hint="the first two are right. The third: information from the end reaches a global token, and then?"),
        Wrong(name="LSH wrong", answer="dbfbec", recognise=_misses(3),
              hint="the first three are right. The fourth: whom does a query meet after sorting by bucket?"),
        Wrong(name="Linformer wrong", answer="dbfabc", recognise=_misses(4),
              hint="all but the last two are right: what is the shape of E, which mixes the keys?"),
        Wrong(name="linear wrong", answer="dbfaeb", recognise=_misses(5),
              hint="all but the last are right: what became of the exponential?"),
    ),
    notice="Only one of the six gives up nothing, and it does not reduce the arithmetic: it is the usual "
    "default.",
)  # fmt: skip

FLASH_TRUTH = (False, True, True, False, False, True)
_N = len(FLASH_TRUTH)


def _read_truths(value: Any) -> tuple[bool, ...]:
    try:
        answers = tuple(value)
    except Exception:  # anything else
        answers = ()
    if len(answers) != _N or not all(isinstance(item, bool) for item in answers):
        raise Trouble("is no list of answers", "write six times True or False, as in [True, True, ...]",
                      expected="six of True and False", got=show(value))  # fmt: skip
    return answers


def _truths(trial: Trial) -> Mismatch | None:
    wrong = [got != want for got, want in zip(trial.output, FLASH_TRUTH, strict=True)]
    return Mismatch("six sentences judged", f"{sum(wrong)} of 6 differ") if any(wrong) else None


def _misjudged(place: int) -> Callable[[Any], bool]:
    return lambda answer: _read_truths(answer)[place] != FLASH_TRUTH[place]


def _but(place: int) -> list[bool]:
    return [truth != (i == place) for i, truth in enumerate(FLASH_TRUTH)]


FLASH = Exercise(
    id="efficient/flash",
    title="True or false: FlashAttention",
    answer="judged",
    solution=list(FLASH_TRUTH),
    takes="value",
    read=_read_truths,
    properties=(
        Property(sentence="every sentence is judged rightly", test=_truths,
                 hint="take them one by one, and keep three things apart: operations, bytes held, bytes moved"),
    ),
    wrong=(
        Wrong(name="all true", answer=[True] * _N, hint="some of them sound better than they are"),
        Wrong(name="all false", answer=[False] * _N,
              hint="some of them are plain facts: which ones have you seen in this chapter?"),
        Wrong(name="exactly the opposite", answer=[not truth for truth in FLASH_TRUTH],
              hint="every one is the other way round: is it an approximation?"),
        Wrong(name="first misjudged", answer=_but(0), recognise=_misjudged(0),
              hint="the first: which products does it leave out? Count them for one block of queries"),
        Wrong(name="second misjudged", answer=_but(1), recognise=_misjudged(1),
              hint="the first is right. The second: a sum may be taken in pieces"),
        Wrong(name="third misjudged", answer=_but(2), recognise=_misjudged(2),
              hint="the first two are right. The third: what is kept of each query between two blocks of keys?"),
        Wrong(name="fourth misjudged", answer=_but(3), recognise=_misjudged(3),
              hint="the first three are right. The fourth: does time follow bytes held, or what has to be computed?"),
        Wrong(name="fifth misjudged", answer=_but(4), recognise=_misjudged(4),
              hint="the first four are right. The fifth: does each new token bring a key and a value of its own?"),
        Wrong(name="sixth misjudged", answer=_but(5), recognise=_misjudged(5),
              hint="all but the last are right: if the weights were not kept, where do gradients get them from?"),
    ),
    notice="Same numbers, at least as many operations, far fewer bytes held and moved: it wins because moving bytes "
    "was what took the time.",
)  # fmt: skip
