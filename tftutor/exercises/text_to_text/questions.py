"""Exercises: what an unknown prefix does, and names that make two tasks one."""

from __future__ import annotations

from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, show

# A model has learned six tasks with six prefixes and nothing else. It gets `opposite: hot`.  (a) an error, since the
# prefix is unknown; (b) it writes a word that means the opposite; (c) it writes something in the form of one of its six
# tasks; (d) it writes the question once more.
PREDICT_UNKNOWN = Exercise(
    id="t5/predict-unknown-prefix",
    title="Predict: a task that nobody trained",
    answer="prediction",
    solution="c",
    takes="value",
    read=read_choice,
    properties=(is_option("c", "abcd"),),
    wrong=(
        Wrong(name="a: an error", answer="a",
              hint="the prefix is letters like any others; which part of the model could know that it is unknown?"),
        Wrong(name="b: the opposite", answer="b",
              hint="to the model the prefix is a mark learned from examples: where would it have met opposites?"),
        Wrong(name="d: an echo", answer="d",
              hint="the decoder writes what it was trained to write: in which task was that the question itself?"),
    ),
    notice="Whatever it writes looks like an answer. A model of text has no way to say that it was not asked.",
)  # fmt: skip

_ORDER = ("pronounce", "spell", "syllables", "stress", "rhyme", "fill")
_LETTERS_IN = ("pronounce", "syllables", "stress", "rhyme")  # tasks whose input is a plain word


def _read_names(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        value = [value.get(task) for task in _ORDER]
    if not isinstance(value, list | tuple) or len(value) != 6 or not all(isinstance(name, str) for name in value):
        raise Trouble("is no row of six names", "six strings, one prefix for each task, in the order of the text",
                      expected="six strings", got=show(value))  # fmt: skip
    if not all(name.strip() for name in value):
        raise Trouble("holds an empty name", "give every task a prefix", expected="six strings", got=show(value))
    return dict(zip(_ORDER, (name.strip() for name in value), strict=True))


def _groups(names: dict[str, str]) -> list[tuple[str, ...]]:
    """Tasks that read plain words, grouped by prefix; only groups of more than one."""
    by_name: dict[str, list[str]] = {}
    for task in _LETTERS_IN:
        by_name.setdefault(names[task], []).append(task)
    return [tuple(group) for group in by_name.values() if len(group) > 1]


def _merged(trial: Trial) -> Mismatch | None:
    ours = trial.output
    fine = ours["syllables"] == ours["stress"]
    return None if fine else Mismatch("syllables and stress cannot be told apart", "their questions still differ")


def _others_work(trial: Trial) -> Mismatch | None:
    for group in _groups(trial.output):
        others = [task for task in group if task not in ("syllables", "stress")]
        if others:
            return Mismatch("pronounce and rhyme still work", f"{' and '.join(group)} ask alike")
    return None


def _is(*groups: tuple[str, ...]) -> Any:
    return lambda value: _groups(_read_names(value)) == list(groups)


BREAK_PREFIXES = Exercise(
    id="t5/break-prefixes",
    title="Break it: two tasks nobody can tell apart",
    answer="prefixes",
    solution=("pronounce", "spell", "number", "number", "rhyme", "fill"),
    takes="value",
    read=_read_names,
    properties=(
        Property(sentence="syllables and stress ask in the same words", test=_merged,
                 hint="write the two questions about one word side by side: what sets them apart?"),
        Property(sentence="pronounce and rhyme can still be told apart from them", test=_others_work,
                 hint="all tasks that read a plain word depend on their prefix: which two of them should collide?"),
    ),
    wrong=(
        Wrong(name="the names as they are", answer=_ORDER, recognise=lambda v: not _groups(_read_names(v))
              and len(set(_read_names(v).values())) == 6,
              hint="six names that differ break nothing, whatever they say: the model learns any of them"),
        Wrong(name="all alike", answer=("task",) * 6,
              recognise=_is(("pronounce", "syllables", "stress", "rhyme")),
              hint="now pronounce and rhyme are broken too: only two questions should become one"),
        Wrong(name="fill joins", answer=("a", "b", "c", "d", "e", "a"),
              recognise=lambda v: not _groups(_read_names(v)) and _read_names(v)["fill"] in
              [_read_names(v)[task] for task in _ORDER[:5]] and _read_names(v)["spell"] != _read_names(v)["pronounce"],
              hint="a question of fill gives itself away by its sentinels: it needs no prefix of its own"),
        Wrong(name="spell and pronounce", answer=("say", "say", "c", "d", "e", "f"),
              recognise=lambda v: not _groups(_read_names(v)),
              hint="spell reads sounds and pronounce reads letters: the input alone tells them apart"),
        Wrong(name="syllables and pronounce", answer=("x", "b", "x", "d", "e", "f"),
              recognise=_is(("pronounce", "syllables")),
              hint="that breaks pronounce; which of the four tasks on plain words should stay whole?"),
        Wrong(name="stress and rhyme", answer=("a", "b", "c", "y", "y", "f"), recognise=_is(("stress", "rhyme")),
              hint="that breaks rhyme, while the syllables can still be counted"),
        Wrong(name="pronounce and rhyme", answer=("x", "b", "c", "d", "x", "f"), recognise=_is(("pronounce", "rhyme")),
              hint="you broke the two that should have stayed whole"),
        Wrong(name="stress and pronounce", answer=("x", "b", "c", "x", "e", "f"),
              recognise=_is(("pronounce", "stress")),
              hint="stress is broken, and pronounce with it: its partner should be a task that you may break"),
        Wrong(name="syllables and rhyme", answer=("a", "b", "x", "d", "x", "f"), recognise=_is(("syllables", "rhyme")),
              hint="the syllables are broken, and rhyme with them: its partner should be a task that you may break"),
        Wrong(name="two pairs", answer=("x", "b", "y", "y", "x", "f"),
              recognise=lambda v: len(_groups(_read_names(v))) == 2,
              hint="two pairs collide; one of them is enough"),
        Wrong(name="three alike", answer=("x", "b", "x", "x", "e", "f"),
              recognise=lambda v: len(max(_groups(_read_names(v)), key=len)) == 3,
              hint="three tasks share a name; the third should keep one of its own"),
    ),
    notice="Asked in the same words, the model can only learn the mixture: one of the two answers, by their frequency.",
)  # fmt: skip
