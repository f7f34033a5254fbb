"""Exercises in judging sentences: true, false, or it depends. Each brings the lines of code that decide it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, read_letters

VERDICTS = {"t": "true", "f": "false", "d": "it depends"}
_WORDS = {"true": "t", "false": "f", "depends": "d", "it depends": "d", "t": "t", "f": "f", "d": "d"}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A sentence to be judged.

    t: it holds in every case that it speaks of. f: in none of them. d: in some of them, not in others.
    """

    text: str
    verdict: str
    hint: str  # for those who judge it wrongly: points to what decides
    why: str  # shown with the solution
    code: str  # lines that assert the verdict; empty where only a source can
    read: str  # the chapter that has the long version


def read_verdicts(count: int) -> Callable[[Any], str]:
    """A reader of `count` verdicts: a string of letters, or a list of letters, words or bools."""
    read = read_letters(count, "tfd")

    def letters(value: Any) -> str:
        if isinstance(value, tuple | list):
            value = "".join(_WORDS.get(str(item).strip().lower(), "?") for item in value)
        try:
            return read(value)
        except Trouble as trouble:
            raise Trouble(str(trouble), f"write {count} letters in one string, one for each sentence: t, f or d",
                          expected=f"{count} letters, each t, f or d", got=trouble.got) from None  # fmt: skip

    return letters


def judging(exercise_id: str, title: str, statements: Sequence[Statement], notice: str) -> Exercise:
    """The exercise of judging these sentences; the first one misjudged gets its hint."""
    count, right = len(statements), "".join(statement.verdict for statement in statements)
    read = read_verdicts(count)

    def judged(trial: Trial) -> Mismatch | None:
        wrong = sum(got != want for got, want in zip(trial.output, right, strict=True))
        return Mismatch(f"{count} sentences judged", f"{wrong} of {count} misjudged") if wrong else None

    def first_wrong(place: int) -> Callable[[Any], bool]:
        def recognise(answer: Any) -> bool:
            given = read(answer)
            return given[:place] == right[:place] and given[place] != right[place]

        return recognise

    def other(place: int) -> str:
        return right[:place] + ("f" if right[place] != "f" else "t") + right[place + 1 :]

    return Exercise(
        id=exercise_id,
        title=title,
        answer=exercise_id.partition("/")[2].replace("judge-", "on_"),
        solution=right,
        takes="value",
        read=read,
        properties=(
            Property(sentence="each sentence is judged rightly", test=judged,
                     hint="take them one by one: name the cases that it speaks of, then try one"),
        ),
        wrong=(
            Wrong(name="all true", answer="t" * count,
                  hint="not one popular error among them? Look for a sentence that you can refute with one small "
                       "tensor"),
            Wrong(name="all false", answer="f" * count,
                  hint="some of these are plain facts: which ones could you show in two lines?"),
            Wrong(name="all depend", answer="d" * count,
                  hint="that is always safe and never helps: where it depends, you can name a case for and a case "
                       "against"),
            *(Wrong(name=f"sentence {i + 1} misjudged", answer=other(i), recognise=first_wrong(i),
                    hint=f"sentence {i + 1}: {statement.hint}") for i, statement in enumerate(statements)),
        ),
        notice=notice,
    )  # fmt: skip
