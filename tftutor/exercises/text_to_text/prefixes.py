"""Exercises: write an example as T5 reads it, and tell T5's own prefixes from made-up ones."""

from __future__ import annotations

from typing import Any

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare
from tftutor.exercises.values import Trouble, read_letters, show


def format_input(task, fields):
    """One example as T5 reads it.

    task: the task's name, such as "mnli"; "" for a task without one.
    fields: dict from the name of a field to its text, in the order in which they
    are written.
    Returns one string: the name, then each field as its name, a colon and its text;
    single spaces between all of them.
    """
    named = [f"{name}: {text}" for name, text in fields.items()]
    return " ".join([task, *named] if task else named)


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Trouble("returns the wrong kind of thing", "the model reads one string", expected="a string",
                      got=show(value))  # fmt: skip
    return value


def _cases(generator: torch.Generator) -> list[Case]:
    del generator
    examples: list[tuple[str, dict[str, str]]] = [
        ("sst2", {"sentence": "a joyful mess"}),
        ("mnli", {"premise": "it rains", "hypothesis": "it is wet"}),
        ("", {"summarize": "a long story"}),
        ("", {"question": "who sang ?", "context": "the girl sang ."}),
        ("", {"translate English to German": "That is good."}),
        ("stsb", {"sentence1": "two dogs", "sentence2": "a dog"}),
        ("x", {"b": "1", "c": "2", "a": "3"}),
    ]
    return [Case(example, f"{example[0]!r}, {example[1]}") for example in examples]


def _agrees(trial: Trial) -> Mismatch | None:
    return compare(format_input(*trial.args), trial.output)


def _holds_texts(trial: Trial) -> Mismatch | None:
    missing = [text for text in trial.args[1].values() if text not in trial.output]
    return Mismatch(f"the text {missing[0]!r} is in it", repr(trial.output)) if missing else None


def _no_stray_spaces(trial: Trial) -> Mismatch | None:
    text = trial.output
    fine = text == " ".join(text.split())
    return None if fine else Mismatch("single spaces, none at the ends", repr(text))


def _join(task: str, parts: list[str], by: str = " ") -> str:
    return by.join([task, *parts] if task else parts)


FORMAT_INPUT = Exercise(
    id="t5/format-input",
    title="Write an example as T5 reads it",
    answer="format_input",
    solution=format_input,
    cases=_cases,
    read=_read_text,
    properties=(
        Property(sentence="every field's text is in the string", test=_holds_texts,
                 hint="fields is a dict: go through all of its pairs"),
        Property(sentence="there are single spaces, and none at the ends", test=_no_stray_spaces,
                 hint="look at the ends of your string with repr()"),
        Property(sentence="name, fields, colons and texts stand where T5 expects them", test=_agrees,
                 hint="compare the two strings character by character: colons, spaces, order"),
    ),
    wrong=(
        Wrong(name="no space after the colon", answer=lambda t, f: _join(t, [f"{k}:{v}" for k, v in f.items()]),
              hint="a space belongs between the colon and the text"),
        Wrong(name="space before the colon", answer=lambda t, f: _join(t, [f"{k} : {v}" for k, v in f.items()]),
              hint="the colon follows the name of the field without a space"),
        Wrong(name="colon after the task",
              answer=lambda t, f: _join(t and f"{t}:", [f"{k}: {v}" for k, v in f.items()]),
              hint="the colon belongs to the fields; the name of the task stands bare"),
        Wrong(name="leading space", answer=lambda t, f: " ".join([t, *(f"{k}: {v}" for k, v in f.items())]),
              hint="without a name of the task the string begins with a space"),
        Wrong(name="trailing space",
              answer=lambda t, f: (f"{t} " if t else "") + "".join(f"{k}: {v} " for k, v in f.items()),
              hint="the string ends with a space: put spaces between the parts, not behind each"),
        Wrong(name="sorted fields", answer=lambda t, f: _join(t, [f"{k}: {f[k]}" for k in sorted(f)]),
              hint="the fields are in alphabetical order; keep the order of the dict: the premise comes first"),
        Wrong(name="names left out", answer=lambda t, f: _join(t, list(f.values())),
              hint="the texts follow each other unmarked: which of them is the hypothesis?"),
        Wrong(name="first field only", answer=lambda t, f: _join(t, [f"{k}: {v}" for k, v in list(f.items())[:1]]),
              hint="only the first field is written, and there may be several"),
        Wrong(name="commas", answer=lambda t, f: _join(t, [", ".join(f"{k}: {v}" for k, v in f.items())]),
              hint="fields are set apart by a space and nothing else"),
        Wrong(name="lines", answer=lambda t, f: _join(t, [f"{k}: {v}" for k, v in f.items()], "\n"),
              hint="everything stands on one line: no line breaks"),
        Wrong(name="task before each field",
              answer=lambda t, f: " ".join(f"{t} {k}: {v}".strip() for k, v in f.items()),
              hint="the name of the task stands once, at the beginning"),
        Wrong(name="task forgotten", answer=lambda t, f: " ".join(f"{k}: {v}" for k, v in f.items()),
              hint="the name of the task is missing: several tasks have a field called sentence"),
        Wrong(name="task as a field", answer=lambda t, f: _join("", [f"{t}: {v}" for v in f.values()]) if t else
              format_input(t, f), hint="the names of the fields are missing: the task's name does not replace them"),
        Wrong(name="a list", answer=lambda t, f: [t, *(f"{k}: {v}" for k, v in f.items())],
              hint="these are the right pieces; put them together into one string"),
        Wrong(name="the dict as text", answer=lambda t, f: f"{t} {f}".strip(),
              hint="that is Python's way of showing a dict, with braces and quotes; write the pairs yourself"),
        Wrong(name="one colon only", answer=lambda t, f: _join(t, [f"{k} {v}" for k, v in f.items()]),
              hint="the colons are missing: each name of a field ends in one"),
        Wrong(name="lower case", answer=lambda t, f: format_input(t, f).lower(),
              hint="capitals are lost: the text goes through as it is"),
        Wrong(name="task and texts", answer=lambda t, f: _join(t and f"{t}:", list(f.values())),
              hint="the task is marked, the fields are not: several texts need the names of their fields"),
        Wrong(name="equals signs", answer=lambda t, f: _join(t, [f"{k}={v}" for k, v in f.items()]),
              hint="between the name and the text of a field stands a colon, as in prose, not an equals sign"),
        Wrong(name="fields glued",
              answer=lambda t, f: (f"{t} " if t else "") + "".join(f"{k}: {v}" for k, v in f.items()),
              hint="the second field begins right where the first text ends: a space belongs between them"),
        Wrong(name="task glued", answer=lambda t, f: t + format_input("", f),
              hint="the name of the task runs into the name of the first field"),
        Wrong(name="fields reversed", answer=lambda t, f: format_input(t, dict(reversed(list(f.items())))),
              hint="the fields come in reverse: the dict has them in the order in which they are written"),
        Wrong(name="quotes", answer=lambda t, f: _join(t, [f"{k}: '{v}'" for k, v in f.items()]),
              hint="the texts stand in quotes; to the model those would be symbols of the text"),
        Wrong(name="full stop", answer=lambda t, f: format_input(t, f) + ".",
              hint="you add a full stop at the end: nothing comes behind the last text"),
        Wrong(name="new line at the end", answer=lambda t, f: format_input(t, f) + "\n",
              hint="the string ends in a line break; nothing comes behind the last text, not even that"),
        Wrong(name="task at the end", answer=lambda t, f: " ".join([*(f"{k}: {v}" for k, v in f.items()), t]).strip(),
              hint="the name of the task comes first"),
    ),
    notice="The order and the names are arbitrary; what counts is that training and use write the same.",
)  # fmt: skip

# 1 "sst2 sentence: ..."  2 "sentiment: ..."  3 "translate English to German: ..."  4 "stsb sentence1: ... sentence2:"
# 5 "Is this review positive? ..."  6 "cola sentence: ..."  7 "summarize: ..."  8 "entailment premise: ..."
_KEY = "abaabaab"
_FAKES = (1, 4, 7)
_REASONS = (
    "one real prefix is taken for a made-up one: the name of a data set and of a field is how T5 marked most tasks",
    "number 2 sounds right and is quoted everywhere; in the paper, sentiment goes by the name of its data set",
    "one real prefix is taken for a made-up one: translation names both languages, in plain English",
    "one real prefix is taken for a made-up one: two sentences are numbered, and the answer is a number as text",
    "number 5 is how later models are asked; T5 had names of tasks, no questions in plain English",
    "one real prefix is taken for a made-up one: CoLA asks whether a sentence is acceptable English",
    "one real prefix is taken for a made-up one: some tasks do have a plain verb",
    "number 8 has a field that is real, but the task goes by the name of its data set",
)


def _flipped(place: int) -> str:
    return "".join(("b" if x == "a" else "a") if i == place else x for i, x in enumerate(_KEY))


def _is_key(trial: Trial) -> Mismatch | None:
    wrong = [i + 1 for i, (want, got) in enumerate(zip(_KEY, trial.output, strict=True)) if want != got]
    return Mismatch("8 of 8 right", f"{8 - len(wrong)} of 8") if wrong else None


SPOT_FAKES = Exercise(
    id="t5/spot-fakes",
    title="Spot the made-up prefixes",
    answer="letters",
    solution=_KEY,
    takes="value",
    read=read_letters(8, "ab"),
    properties=(Property(sentence="every prefix is judged right", test=_is_key,
                         hint="more than one is misjudged: go back to the table of real prefixes"),),
    wrong=(
        *(Wrong(name=f"number {i + 1}", answer=_flipped(i), hint=reason if i in _FAKES else f"number {i + 1}: {reason}")
          for i, reason in enumerate(_REASONS)),
        Wrong(name="all real", answer="aaaaaaaa", hint="not all of them: three of the eight are made up"),
        Wrong(name="all made up", answer="bbbbbbbb", hint="not all of them: five of the eight stand in the paper"),
        Wrong(name="exchanged", answer="babbabba",
              hint="everything is turned round: a means that it stands in the paper"),
        Wrong(name="only verbs are real", answer="bbabbbab",
              hint="you took the plain ones for real; most of T5's prefixes are names of data sets and of fields"),
        Wrong(name="plain English is made up", answer="abbabab" + "b",
              hint="translation and summaries do have prefixes in plain words; questions have none"),
    ),
    notice="A model has no use for the sense of a prefix: any fixed string would have marked the task as well.",
)  # fmt: skip
