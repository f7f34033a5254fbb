"""Exercises: what stays valid in an encoder, how costs grow, and a batch that wastes its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, show

# A word is appended to a sentence that a bidirectional encoder with learned positions has read. Which of the keys and
# values that it had computed are still right?  (a) none  (b) those of the first layer  (c) those of every layer: only
# the new word's are missing  (d) those of the last layer.
PREDICT_ENCODER = Exercise(
    id="kv-cache/predict-encoder",
    title="Predict: what an encoder could keep",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(name="a: none", answer="a",
              hint="nearly: but what are the keys of the very first layer computed from, and has that changed?"),
        Wrong(name="c: all", answer="c",
              hint="that is the causal case: here the old words attend to the new one, so what comes out of layer 1 "
                   "changes for all of them"),
        Wrong(name="d: the last layer", answer="d",
              hint="the last layer is the farthest from the embeddings: everything that changed before it arrives "
                   "there"),
    ),
    notice="Keys of layer 1 are made from embeddings, which nobody else touches. From layer 2 on they are made from "
    "states that have seen the new word.",
)  # fmt: skip


def _whole(item: Any) -> int:
    """An integer, whatever its type; 2.5 is none."""
    if int(item) != float(item):
        raise ValueError(item)
    return int(item)


def _read_powers(value: Any) -> tuple[int, ...]:
    try:
        powers = tuple(_whole(item) for item in value)
    except Exception:  # anything else
        raise Trouble("is no list of powers", "write four integers, as in (1, 2, 3, 4)", expected="four integers",
                      got=show(value)) from None  # fmt: skip
    if len(powers) != 4 or not all(0 <= power <= 9 for power in powers):
        raise Trouble("is no list of four powers", "one power of n for each of the four questions",
                      expected="four integers from 0 to 9", got=show(value))  # fmt: skip
    return powers


def _right_powers(trial: Trial) -> Mismatch | None:
    asked = ("projections and FFN, one step", "attention, one step", "projections and FFN, all steps",
             "attention, all steps")  # fmt: skip
    wrong = [name for name, got, want in zip(asked, trial.output, (0, 1, 1, 2), strict=True) if got != want]
    if not wrong:
        return None
    return Mismatch("the power of n for each", f"{len(wrong)} of 4 differ")


def _differs(i: int) -> Callable[[Any], bool]:
    """Whether the power in place i is wrong."""
    return lambda answer: _read_powers(answer)[i] != (0, 1, 1, 2)[i]


GROWTH = Exercise(
    id="kv-cache/growth",
    title="What grows, and how fast?",
    answer="powers",
    solution=(0, 1, 1, 2),
    takes="value",
    read=_read_powers,
    properties=(
        Property(sentence="each cost grows with the power of n that you give", test=_right_powers,
                 hint="take the four one by one: how often is it done for one new token, and how many keys does it "
                      "meet?"),
    ),
    wrong=(
        Wrong(name="nothing depends on n", answer=(0, 0, 1, 1),
              hint="the new query still meets every cached key: does that cost nothing?"),
        Wrong(name="as without a cache", answer=(1, 2, 2, 3),
              hint="these are the costs without a cache, where every step computes all earlier tokens again"),
        Wrong(name="as one full pass", answer=(1, 2, 1, 2),
              hint="the first two are those of a pass over n tokens: a cached step passes one token through"),
        Wrong(name="total linear", answer=(0, 1, 1, 1),
              hint="the steps differ: add up 1 + 2 + ... + n keys"),
        Wrong(name="step only", answer=(0, 1, 0, 1),
              hint="the last two are about all n steps together, not about one"),
        Wrong(name="projections grow", answer=(1, 1, 2, 2),
              hint="which tokens are projected in a cached step?"),
        Wrong(name="order of the questions", answer=(0, 1, 2, 1),
              hint="the last two are in the wrong order: which of them adds up steps that get longer and longer?"),
        Wrong(name="steps and totals mixed", answer=(0, 0, 1, 2),
              hint="if all steps together grow like n squared, a single one cannot be constant"),
        Wrong(name="attention as without a cache", answer=(0, 2, 1, 3),
              hint="attention is counted for all queries: how many new ones has a step?"),
        Wrong(name="the example", answer=(1, 2, 3, 4),
              hint="these are the numbers that show how to write the answer"),
        Wrong(name="first wrong", answer=(1, 1, 1, 2), recognise=_differs(0),
              hint="begin with the first: how many tokens pass through the projections in step n?"),
        Wrong(name="second wrong", answer=(0, 2, 1, 2), recognise=_differs(1),
              hint="the first is right. The second: how many scores does the one new query need?"),
        Wrong(name="third wrong", answer=(0, 1, 2, 2), recognise=_differs(2),
              hint="the first two are right. The third is the first, n times"),
        Wrong(name="fourth wrong", answer=(0, 1, 1, 3), recognise=_differs(3),
              hint="all but the last are right: add up what the second says, for steps 1 to n"),
    ),
    notice="\"From n squared to n\" is true of one thing only: attention in one step. All steps together are still "
    "quadratic.",
)  # fmt: skip


def _read_outputs(value: Any) -> list[int]:
    try:
        outputs = [_whole(item) for item in value]
    except Exception:  # anything else
        raise Trouble("is no list of lengths", "write it as [10, 20, 30, 40]", expected="four integers",
                      got=show(value)) from None  # fmt: skip
    if len(outputs) != 4:
        raise Trouble("has the wrong length", "the batch has four rows", expected="four integers", got=show(value))
    if not all(1 <= n <= 100 for n in outputs):
        raise Trouble("is out of range", "every request writes at least 1 and at most 100 tokens",
                      expected="1 to 100 each", got=show(value))  # fmt: skip
    return outputs


def _idle(outputs: list[int]) -> float:
    """Share of the row-steps of a static batch in which a row has nothing left to write."""
    return 1 - sum(outputs) / (len(outputs) * max(outputs))


def _mostly_idle(trial: Trial) -> Mismatch | None:
    share = _idle(trial.output)
    return None if share > 0.7 else Mismatch("more than 70 % idle", f"{100 * share:.0f} %")


def _has(n_long: int, answer: Any) -> bool:
    """Whether exactly `n_long` outputs are at least half the longest, and not all are equal."""
    outputs = _read_outputs(answer)
    return sum(2 * n >= max(outputs) for n in outputs) == n_long and len(set(outputs)) > 1


BREAK_STATIC = Exercise(
    id="kv-cache/break-static",
    title="Break it: a batch that waits for one",
    answer="outputs",
    solution=[100, 1, 1, 1],
    takes="value",
    read=_read_outputs,
    properties=(
        Property(sentence="more than 70 % of the batch's row-steps have nothing to write", test=_mostly_idle,
                 hint="row-steps are 4 times the longest output; how many of them write something?"),
    ),
    wrong=(
        Wrong(name="all equal", answer=[100, 100, 100, 100],
              recognise=lambda answer: len(set(_read_outputs(answer))) == 1,
              hint="rows that end together waste nothing: this is the best case of static batching"),
        Wrong(name="two long", answer=[100, 100, 1, 1], recognise=lambda answer: _has(2, answer),
              hint="two rows are busy until the end, or nearly: who else could leave early?"),
        Wrong(name="three long", answer=[100, 90, 80, 1], recognise=lambda answer: _has(3, answer),
              hint="only one row waits here: turn it round"),
        Wrong(name="one long, others not short enough", answer=[100, 20, 20, 20],
              recognise=lambda answer: _has(1, answer),
              hint="the right idea: one row keeps three waiting. How early can the three be done?"),
        Wrong(name="nearly equal", answer=[60, 70, 80, 90], recognise=lambda answer: _has(4, answer),
              hint="rows of like length finish nearly together: make them as unlike as you can"),
    ),
    notice="With four rows it cannot be worse than 75 %, with R rows than 1 - 1/R: one long answer holds all others.",
)  # fmt: skip
