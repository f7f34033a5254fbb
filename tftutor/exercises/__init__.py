"""Exercises with checks that answer at once: `check("qkv/attention", attention)`.

Each exercise is a module-level `Exercise`: a solution, inputs of many sizes, properties that a right answer has, and
the wrong answers people really give, each with the hint it should trigger. Checks work offline and never look at
stored progress.

In a notebook an exercise is four things (a test compares them with the registry): a markdown cell, an `{exercise}`
labelled `ex-qkv-attention`; a code cell with the stub, word for word `print(find_exercise("qkv/attention").stub())`;
at its end `check("qkv/attention", attention)`; and a markdown cell with a folded `{solution} ex-qkv-attention` whose
python block passes the check, given the notebook's imports.

A chapter's exercises live in a module or package here that defines `EXERCISES`; `registry.CHAPTERS` lists it under the
first part of its ids. Cases come smallest first, with sizes that all differ, plus one with equal sizes where a mistake
would otherwise only raise an error. Wrong answers are told apart by their results, so any two must differ on some case.
"""

from __future__ import annotations

from tftutor.exercises.engine import check
from tftutor.exercises.exercise import Case, Exercise, Flag, Mismatch, Property, Trial, Wrong
from tftutor.exercises.progress import exercise_table, reset_progress
from tftutor.exercises.registry import all_exercises, find_exercise
from tftutor.exercises.report import Report

__all__ = [
    "Case",
    "Exercise",
    "Flag",
    "Mismatch",
    "Property",
    "Report",
    "Trial",
    "Wrong",
    "all_exercises",
    "check",
    "exercise_table",
    "find_exercise",
    "reset_progress",
]
