"""Exercises of the chapter on generation."""

from __future__ import annotations

from tftutor.exercises.generation.beam import BEAM
from tftutor.exercises.generation.filters import TOP_P
from tftutor.exercises.generation.loop import GREEDY
from tftutor.exercises.generation.min_p import MIN_P
from tftutor.exercises.generation.padding import LEFT_PAD
from tftutor.exercises.generation.questions import BREAK_GREEDY, PREDICT_MODE

EXERCISES = (
    GREEDY,
    LEFT_PAD,
    TOP_P,
    MIN_P,
    PREDICT_MODE,
    BREAK_GREEDY,
    BEAM,
)
