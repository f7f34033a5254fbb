"""Exercises with checks that answer at once: `check("qkv/attention", attention)`.

Each exercise is a module-level `Exercise`: a solution, inputs of many sizes, properties that a right answer has, and
the wrong answers people really give, each with the hint it should trigger. Checks work offline and never look at
stored progress.
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
