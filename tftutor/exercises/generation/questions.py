"""Exercises: how often the most probable text occurs, and a tree on which greedy decoding fails."""

from __future__ import annotations

import math
from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, show

# A model writes 20 symbols, each of them A with probability 0.6 and B with probability 0.4, whatever came before. The
# most probable text is 20 times A. How many of 10,000 samples are this text?  (a) about 6,000  (b) about 500  (c) none
# or one  (d) it is the commonest text, so at least several dozen.
PREDICT_MODE = Exercise(
    id="generation/predict-mode",
    title="Predict: how often does the most probable text occur?",
    answer="prediction",
    solution="c",
    takes="value",
    read=read_choice,
    properties=(is_option("c", "abcd"),),
    wrong=(
        Wrong(name="a: 6,000", answer="a",
              hint="0.6 is the probability of one A: what is that of two in a row?"),
        Wrong(name="b: 500", answer="b",
              hint="one text in twenty? Multiply 0.6 by itself a few times and see how fast it falls"),
        Wrong(name="d: several dozen", answer="d",
              hint="commoner than any other single text, yes: but how many texts of 20 letters are there to share "
                   "10,000 samples?"),
    ),
    notice="0.6 to the power 20 is 0.00004: what is most probable may never happen. Typical texts have about 12 A's.",
)  # fmt: skip


def _read_tree(value: Any) -> tuple[float, float, float]:
    try:
        numbers = tuple(float(item) for item in value)
    except Exception:  # anything else
        raise Trouble("is no list of numbers", "write three numbers, as in (0.7, 0.9, 0.8)", expected="three numbers",
                      got=show(value)) from None  # fmt: skip
    if len(numbers) != 3:
        raise Trouble("has the wrong length", "P(A), then the best that follows A, then the best that follows B",
                      expected="three numbers", got=show(value))  # fmt: skip
    if not all(0 <= x <= 1 for x in numbers):
        raise Trouble("holds numbers that are no probabilities", "each of the three is a probability",
                      expected="numbers from 0 to 1", got=show(value))  # fmt: skip
    return numbers


def _greedy_fails(trial: Trial) -> Mismatch | None:
    first, after_a, after_b = trial.output
    if first > 0.5 and first * after_a < (1 - first) * after_b - 1e-9:
        return None
    texts = f"A...: {first * after_a:.3g}, B...: {(1 - first) * after_b:.3g}, first step {first:.3g}"
    return Mismatch("a likely first step that leads to the less probable text", texts)


def _kind(answer: Any) -> str:
    first, after_a, after_b = _read_tree(answer)
    if first == 0.5:
        return "tie"
    through_a, through_b = first * after_a, (1 - first) * after_b
    if first < 0.5:
        return "B first, B better" if through_b >= through_a else "B first, A better"
    if math.isclose(through_a, through_b, abs_tol=1e-9):
        return "equal"
    return "A better, B not surer" if after_b <= after_a else "A better"


def _of_kind(kind: str, answer: tuple[float, float, float], hint: str) -> Wrong:
    return Wrong(name=kind, answer=answer, recognise=lambda given: _kind(given) == kind, hint=hint)


BREAK_GREEDY = Exercise(
    id="generation/break-greedy",
    title="Break it: a tree on which greedy decoding fails",
    answer="tree",
    solution=(0.6, 0.4, 0.9),
    takes="value",
    read=_read_tree,
    properties=(
        Property(sentence="greedy decoding takes A, and the most probable text begins with B", test=_greedy_fails,
                 hint="compare P(A) times what follows A with P(B) times what follows B"),
    ),
    wrong=(
        _of_kind("tie", (0.5, 0.3, 0.9), "with 0.5 both first steps are equally likely: greedy may take either"),
        _of_kind("B first, B better", (0.3, 0.5, 0.9), "here greedy takes B, and B is right: nothing is missed"),
        _of_kind("B first, A better", (0.4, 0.9, 0.3),
                 "greedy does miss the best text here, but by taking B: the task wants it to take A"),
        _of_kind("equal", (0.6, 0.5, 0.75), "both texts are equally probable: greedy loses nothing"),
        _of_kind("A better, B not surer", (0.8, 0.9, 0.5),
                 "A is the likelier step and the surer path: why should B ever catch up?"),
        _of_kind("A better", (0.9, 0.5, 0.9),
                 "the right idea, B is surer of what follows, but not by enough to make up for the first step"),
    ),
    notice="A beam of two keeps both first steps, and finds it. A longer detour would need a wider beam.",
)  # fmt: skip
