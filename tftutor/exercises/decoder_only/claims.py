"""Exercises: evidence or opinion, what survives in a cache, and a prefix that tells the answer."""

from __future__ import annotations

from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, read_letters, read_number, show

EVIDENCE_ANSWER = "noeonee"

_ITEM_HINTS = (
    ("a", "n", "an encoder-decoder writes token by token as well: what would this tell apart?"),
    ("b", "o", "who says what is simple? No measurement is named, and none would settle it"),
    ("c", "e", "several architectures, the same data, the same compute, one number at the end: what is that?"),
    ("d", "o", "who says what is right for all? It may have reasons, and none is given here"),
    ("e", "n", "one model of one family did it: what would have to be tried before the family gets the credit?"),
    ("f", "e", "anybody can repeat this in a minute, with a control: what is that?"),
    ("g", "e", "a comparison at equal cost, and a score: it may be old or small, but what is it?"),
)


def _right_row(trial: Trial) -> Mismatch | None:
    wrong = sum(mine != right for mine, right in zip(trial.output, EVIDENCE_ANSWER, strict=True))
    return Mismatch("each statement in its drawer", f"{wrong} in another one") if wrong else None


def _first_wrong(index: int) -> Any:
    """Whether the first statement that is in the wrong drawer is the one of this number."""
    read = read_letters(7, "eno")

    def recognise(answer: Any) -> bool:
        if answer is None:
            return False
        letters = read(answer)
        wrong = [i for i in range(7) if letters[i] != EVIDENCE_ANSWER[i]]
        return bool(wrong) and wrong[0] == index

    return recognise


def _swapped(index: int) -> str:
    other = {"e": "o", "o": "e", "n": "e"}[EVIDENCE_ANSWER[index]]
    return EVIDENCE_ANSWER[:index] + other + EVIDENCE_ANSWER[index + 1 :]


EVIDENCE = Exercise(
    id="decoder-only/evidence",
    title="Evidence, non sequitur, opinion",
    answer="drawers",
    solution=EVIDENCE_ANSWER,
    takes="value",
    read=read_letters(7, "eno"),
    properties=(
        Property(sentence="each statement lies in the right drawer", test=_right_row,
                 hint="e: measured, with a control; n: a fact that does not tell the families apart; o: a taste"),
    ),
    wrong=tuple(
        Wrong(name=f"statement {letter}", answer=_swapped(i), hint=f"statement {letter}: {hint}",
              recognise=_first_wrong(i))
        for i, (letter, _, hint) in enumerate(_ITEM_HINTS)
    ),
    notice="An opinion may be right all the same, and evidence holds for the conditions under which it was found.",
)  # fmt: skip

# A conversation: the question of turn 2 is appended to turn 1. Which keys and values, computed in turn 1, are still
# right?  (a) of a causal stack: all; of a prefix LM, whose prompt is now longer: all but those of layer 1 are wrong;
# (b) all of both; (c) none of both; (d) causal all, prefix LM: none.
PREDICT_CACHE = Exercise(
    id="decoder-only/predict-cache",
    title="Predict: what survives a second turn",
    answer="prediction",
    solution="a",
    takes="value",
    read=read_choice,
    properties=(is_option("a", "abcd"),),
    wrong=(
        Wrong(name="b: all of both", answer="b",
              hint="in a prefix LM the tokens of turn 1 now see those of turn 2: what does that do to their states?"),
        Wrong(name="c: none", answer="c",
              hint="in a causal stack no token sees a later one: what could have changed the states of turn 1?"),
        Wrong(name="d: not even the first layer", answer="d",
              hint="what does the first layer make its keys and values from, and has that changed?"),
    ),
    notice="So a causal stack can go on where it stopped; a prefix LM and an encoder have to read turn 1 again.",
)  # fmt: skip


def _read_count(value: Any) -> int:
    try:
        number = read_number(value)
    except Trouble:
        number = -1.0
    if isinstance(value, bool) or number < 0 or number != int(number):
        raise Trouble("is no length", "how many first tokens see each other: a whole number", expected="a whole number",
                      got=show(value))  # fmt: skip
    return int(number)


def _leaks(trial: Trial) -> Mismatch | None:
    return None if trial.output >= 9 else Mismatch("a place that sees the token it has to name", "no such place")


def _is_smallest(trial: Trial) -> Mismatch | None:
    return None if trial.output <= 9 else Mismatch("the smallest such number", "a larger one")


BREAK_PREFIX = Exercise(
    id="decoder-only/break-prefix",
    title="Break it: a prefix that tells the answer",
    answer="prefix",
    solution=9,
    takes="value",
    read=_read_count,
    properties=(
        Property(sentence="the prefix gives an answer away", test=_leaks,
                 hint="number the tokens from 1; which place has to name S, and what may it see?"),
        Property(sentence="no shorter prefix does", test=_is_smallest, hint="try the number that is one smaller"),
    ),
    wrong=(
        Wrong(name="letters", answer=6, hint="six letters; the mark at the beginning is a token too, and nothing is "
              "given away yet"),
        Wrong(name="the usual prefix", answer=7, hint="that is the prefix of our models: all of it is given"),
        Wrong(name="the separator too", answer=8, hint="the separator may see the letters anyway, and they now see it: "
              "no sound is among these tokens"),
        Wrong(name="one more than needed", answer=10, hint="it does leak, but one token fewer is enough to tell the "
              "separator its answer"),
        Wrong(name="two more", answer=11, hint="it does leak, for more places than one: two tokens fewer would do"),
        Wrong(name="all that is read", answer=12, hint="now every sound but the end is given away; how few tokens give "
              "away the first?"),
        Wrong(name="everything", answer=13, hint="the end mark is an answer and is never read; begin with the first "
              "sound"),
        Wrong(name="nothing", answer=0, hint="no prefix at all is the causal mask, which gives nothing away"),
        Wrong(name="one", answer=1, hint="a single token sees itself under the causal mask as well"),
        Wrong(name="half", answer=5, hint="that cuts the word in two: all of these are letters, which are given"),
    ),
    notice="The loss would fall towards zero, in training and on dev alike, and the model could not pronounce a word.",
)  # fmt: skip
