"""Exercises of the chapter on recurrent sequence-to-sequence networks."""

from __future__ import annotations

from tftutor.exercises.recurrent.attention import ADDITIVE_ATTENTION
from tftutor.exercises.recurrent.blinding import BREAK_ATTENTION
from tftutor.exercises.recurrent.distance import EDIT_DISTANCE
from tftutor.exercises.recurrent.questions import PREDICT_FORGETTING, WRONG_ARROW
from tftutor.exercises.recurrent.scoring import PHONEME_ERROR_RATE
from tftutor.exercises.recurrent.steps import SEQUENTIAL_STEPS

EXERCISES = (
    EDIT_DISTANCE, PHONEME_ERROR_RATE, PREDICT_FORGETTING, ADDITIVE_ATTENTION, BREAK_ATTENTION, WRONG_ARROW,
    SEQUENTIAL_STEPS,
)  # fmt: skip
