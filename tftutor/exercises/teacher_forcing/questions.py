"""Exercises: how long is the chain of steps, and a writer that one mistake ruins."""

from __future__ import annotations

import operator
from typing import Any

from tftutor.exercises.exercise import Exercise, Flag, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, show

# A step of training costs a chain of operations, each waiting for the one before. The target grows from 8 symbols to
# 32. The chain of a Transformer decoder under its causal mask becomes  (a) four times as long, because of the mask;
# (b) four times as long, with or without mask; (c) no longer; (d) longer, but less than four times.
PREDICT_CHAIN = Exercise(
    id="forcing/predict-chain",
    title="Predict: does the mask make training serial?",
    answer="prediction",
    solution="c",
    takes="value",
    read=read_choice,
    properties=(is_option("c", "abcd"),),
    wrong=(
        Wrong(
            name="a: four times, by the mask",
            answer="a",
            hint="what has to be computed before the mask is known? It depends on positions only, not on any result of "
            "an earlier row",
        ),
        Wrong(
            name="b: four times, by attention",
            answer="b",
            hint="that is a recurrence, in which each state waits for the one before. From what are the scores of row "
            "32 computed, and is any of it the result of row 31 in the same layer?",
        ),
        Wrong(
            name="d: a little longer",
            answer="d",
            hint="in a tensor operation all rows are computed side by side. Longer rows mean more work in each "
            "operation; do they mean more operations that wait for one another?",
        ),
    ),
    notice="What grows is the amount of work, which can be shared out, and not the chain.",
)

N = 6  # symbols of the reference, 1 to 6; 0 is the beginning


def _read_table(value: Any) -> tuple[int, ...]:
    try:
        if isinstance(value, dict):
            value = [value[s] for s in sorted(value)]
        table = tuple(operator.index(item) for item in value)
    except Exception:  # anything else
        raise Trouble("is no table", f"write a list of {N + 1} whole numbers", expected=f"a list of {N + 1} numbers",
                      got=show(value)) from None  # fmt: skip
    if len(table) != N + 1:
        raise Trouble("has the wrong length", f"one entry for each of the symbols 0 to {N}",
                      expected=f"{N + 1} numbers", got=f"{len(table)} numbers")  # fmt: skip
    if not all(0 <= item <= N for item in table):
        raise Trouble("names symbols that do not exist", f"symbols are 0 to {N}", expected=f"numbers from 0 to {N}",
                      got=show(value))  # fmt: skip
    return table


def forced(table: tuple[int, ...]) -> list[int]:
    """What the writer answers to the right inputs 0, 1, ..., 5."""
    return [table[s] for s in range(N)]


def free(table: tuple[int, ...]) -> list[int]:
    """What it writes when it reads its own answers, from 0 on."""
    written = [0]
    for _ in range(N):
        written.append(table[written[-1]])
    return written[1:]


def _hits(answers: list[int]) -> int:
    return sum(answer == right for answer, right in zip(answers, range(1, N + 1), strict=True))


def _one_mistake(trial: Trial) -> Mismatch | None:
    n = _hits(forced(trial.output))
    return None if n == N - 1 else Mismatch(f"{N - 1} of {N} right when it reads the right symbols", f"{n} right")


def _all_lost(trial: Trial) -> Mismatch | None:
    written = free(trial.output)
    n = _hits(written)
    return None if n == 0 else Mismatch("none right when it reads its own", f"{n} right: it writes {written}")


def _mistakes(answer: Any) -> list[int]:
    table = _read_table(answer)
    return [s for s in range(N) if table[s] != s + 1]


BREAK_ONE_WRONG = Exercise(
    id="forcing/break-one-wrong",
    title="Break it: one wrong, all wrong",
    answer="likeliest",
    solution=[0, 2, 3, 4, 5, 6, 0],
    takes="value",
    read=_read_table,
    properties=(
        Property(
            sentence="reading the right symbols, it makes exactly one mistake",
            test=_one_mistake,
            hint="likeliest[s] should be s + 1 for all s from 0 to 5 but one",
        ),
        Property(
            sentence="reading its own symbols, it gets none of six right",
            test=_all_lost,
            hint="follow the arrows from 0 by hand, and compare with 1 2 3 4 5 6, place by place",
        ),
    ),
    wrong=(
        Wrong(
            name="no mistake",
            answer=[1, 2, 3, 4, 5, 6, 0],
            hint="this writer makes no mistake at all, so it never reads a wrong symbol",
            recognise=lambda answer: not _mistakes(answer),
        ),
        Wrong(
            name="too late",
            answer=[1, 2, 3, 4, 5, 5, 0],
            hint="up to its mistake it reads nothing but right symbols, and answers them rightly: where must the "
            "mistake stand, if not even the first answer may be right?",
            recognise=lambda answer: len(_mistakes(answer)) == 1 and _mistakes(answer) != [0],
        ),
        Wrong(
            name="wrong everywhere",
            answer=[0, 0, 0, 0, 0, 0, 0],
            hint="this writer is bad with the right symbols too; only one entry may be wrong there",
            recognise=lambda answer: len(_mistakes(answer)) > 1,
        ),
        Wrong(
            name="found its way back",
            answer=[6, 2, 3, 4, 5, 6, 6],
            hint="after its mistake it meets the right path again at the end: where should the last symbol lead?",
            recognise=lambda answer: _mistakes(answer) == [0] and _hits(free(_read_table(answer))) > 0,
        ),
    ),
    flags=(
        Flag(
            applies=lambda answer, cases: _read_table(answer)[0] not in (0, 1) and free(_read_table(answer))[:2] == [
                _read_table(answer)[0], _read_table(answer)[0] + 1],
            remark="Look at what it writes: the right sequence, a few places early. Counting place by place calls that "
            "all wrong; an edit distance would not. Can you ruin that too?",
            example=[2, 2, 3, 4, 5, 6, 0],
        ),
    ),
    notice="So five sixths of all predictions right can mean nothing right. It can, not must: a writer that looks "
    "further back than one symbol finds its way.",
)
